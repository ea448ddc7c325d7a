"""Integrations of a job on the wire: W&B as OpenAI spells it, and two trackers of ours."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.schemas.body import Body
from api.schemas.text import Text
from models import Mirror
from models.mirrors import MirrorStatus
from orpo.contract.rundir import Split
from services.jobs.integrations import Tracker

Name = Annotated[Text, Field(min_length=1, max_length=128)]
# W&B refuses the other characters in a project's name.
Project = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00/\\#?%:]*$")]
Tag = Annotated[Text, Field(min_length=1, max_length=64)]


class WandbSettings(Body):
    """A run of Weights & Biases."""

    project: Project
    name: Name | None = Field(None, description="The job's id if left out.")
    entity: Name | None = Field(None, description="The key's own if left out.")
    tags: list[Tag] | None = Field(None, max_length=20)


class MlflowSettings(Body):
    """A run of MLflow."""

    experiment: Name | None = Field(None, description="`oddsmith` if left out.")
    name: Name | None = Field(None, description="The job's id if left out.")


class TensorboardSettings(Body):
    """Event files for TensorBoard; there is nothing to set."""


class WandbIntegration(Body):
    """OpenAI's integration."""

    type: Literal["wandb"]
    wandb: WandbSettings


class MlflowIntegration(Body):
    """An integration that OpenAI has not."""

    type: Literal["mlflow"]
    mlflow: MlflowSettings | None = None


class TensorboardIntegration(Body):
    """An integration that OpenAI has not."""

    type: Literal["tensorboard"]
    tensorboard: TensorboardSettings | None = None


IntegrationRequest = Annotated[
    WandbIntegration | MlflowIntegration | TensorboardIntegration, Field(discriminator="type")
]


class WandbShown(BaseModel):
    """The settings of a run of W&B."""

    project: str
    name: str | None = None
    entity: str | None = None
    tags: list[str] | None = None


class MlflowShown(BaseModel):
    """The settings of a run of MLflow."""

    experiment: str | None = None
    name: str | None = None


class IntegrationObject(BaseModel):
    """An integration of a job, with how far its mirror is."""

    type: Tracker
    wandb: WandbShown | None = None
    mlflow: MlflowShown | None = None
    status: MirrorStatus = Field(
        description="`waiting` for the first numbers, `mirroring`, `done` once the tracker has all "
        "of a job that has ended, or `failed`: given up a week after the job's end."
    )
    step: int | None = Field(description="The newest step that the tracker has.")
    run_id: str | None = Field(description="The run's id at the tracker.")
    error: str | None = Field(description="Why the newest attempt failed.")

    @classmethod
    def from_record(cls, mirror: Mirror) -> "IntegrationObject":
        steps = [mirror.position[split] for split in Split if split in mirror.position]
        return cls.model_validate(
            {
                "type": mirror.type,
                mirror.type: mirror.settings,
                "status": mirror.status,
                "step": max(steps, default=None),
                "run_id": mirror.run_id,
                "error": mirror.error,
            }
        )
