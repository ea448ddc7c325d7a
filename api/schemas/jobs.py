"""Fine-tuning jobs on the wire: OpenAI's object, with what it lacks as extra fields."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Required, cast

from pydantic import BaseModel, Field, WithJsonSchema

from api.schemas.body import Body
from api.schemas.gates import GateObject, GateRequest, Promotion
from api.schemas.integrations import IntegrationObject, IntegrationRequest
from api.schemas.methods import Value
from api.schemas.outcomes import Outcome
from api.schemas.placement import RunsOn
from api.schemas.progress import Prepared, Progress
from api.schemas.stored import Stored
from api.schemas.text import NO_NUL, Id, Text
from api.schemas.waits import QueuePlace, WaitsFor
from models import Checkpoint, Job, JobEvent, Mirror
from models.jobs import JobState
from orpo.contract.methods import METHODS
from services.evaluations.gates import MOST
from services.jobs import integrations
from services.jobs.jobs import SUFFIX, NewJob
from services.jobs.waits import Wait
from services.platform.errors import Invalid
from services.runs import job_events, outcomes
from services.runs.job_events import EventType
from services.runs.step_events import StepEvent

# The API shows OpenAI's names: what a worker holds is "running".
SHOWN = {JobState.CLAIMED: "running", JobState.FINALIZING: "running"}
DEFAULT_METHOD = "orpo"
# For the document only: the service checks these, with error messages of its own.
NULL = {"type": "null"}
LABEL = {"anyOf": [{"type": "string", "pattern": f"^{SUFFIX.pattern}$"}, NULL]}
SEED = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, NULL]}
PAIRS = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64, "pattern": NO_NUL},
    "additionalProperties": {"type": "string", "maxLength": 512, "pattern": NO_NUL},
}
METADATA = {"anyOf": [PAIRS, NULL]}


def _method_schema(name: str) -> dict[str, Any]:
    """A method as OpenAI shapes it. /v1/fine_tuning/methods lists its hyperparameters; here are
    those without a default, such as PPO's reward model.
    """
    described = METHODS[name].model_json_schema()
    needed = {field: described["properties"][field] for field in described.get("required", ())}
    given: dict[str, Any] = {"type": "object"}
    settings: dict[str, Any] = {"type": "object", "properties": {"hyperparameters": given}}
    if needed:
        given |= {"required": [*needed], "properties": needed}
        settings["required"] = ["hyperparameters"]
    return {
        "type": "object",
        "required": ["type", name] if needed else ["type"],
        "properties": {"type": {"const": name}, name: settings | {"additionalProperties": False}},
        "additionalProperties": False,
    }


METHOD = {"anyOf": [*map(_method_schema, METHODS), NULL]}


class JobRequest(Body):
    """What a job is asked to do, without its training file."""

    model: Id
    validation_file: Id | None = None
    method: Annotated[dict[str, Any] | None, WithJsonSchema(METHOD)] = Field(
        None, description='{"type": "orpo", "orpo": {"hyperparameters": {"lambda": 0.1}}}'
    )
    hyperparameters: dict[str, Any] | None = Field(
        None, description="OpenAI's older place for hyperparameters; prefer `method`."
    )
    suffix: Annotated[str | None, WithJsonSchema(LABEL)] = None
    seed: Annotated[int | None, WithJsonSchema(SEED)] = None
    metadata: Annotated[dict[Text, Text] | None, WithJsonSchema(METADATA)] = None
    priority: int | None = Field(
        None,
        ge=-10,
        le=10,
        description="The job with the highest priority is claimed first, among those of one API "
        "key; 0 if left out.",
    )
    integrations: list[IntegrationRequest] | None = Field(
        None,
        max_length=integrations.MOST,
        description="Trackers that the job's numbers and samples are mirrored to.",
    )
    gates: list[GateRequest] | None = Field(
        None,
        max_length=MOST,
        description="What the model must reach to be promoted. It is evaluated once it is trained.",
    )

    def request_with(self, training_file: str) -> NewJob:
        """Raises Invalid when `method` has another shape than OpenAI's."""
        kind, hyperparameters = self._method()
        return NewJob(
            model=self.model,
            training_file=training_file,
            validation_file=self.validation_file,
            method=kind,
            hyperparameters=hyperparameters,
            suffix=self.suffix,
            seed=self.seed,
            metadata=self.metadata or {},
            priority=self.priority or 0,
            gates=[gate.stored() for gate in self.gates or ()],
            integrations=[each.model_dump(exclude_none=True) for each in self.integrations or ()],
        )

    def _method(self) -> tuple[str, dict[str, Any]]:
        given = dict(self.method or {"type": DEFAULT_METHOD})
        kind = given.pop("type", None)
        if not isinstance(kind, str):
            raise Invalid("method needs a type, such as 'orpo'.", param="method.type")
        settings = given.pop(kind, None) or {}
        if given:
            raise Invalid(
                f"method of type '{kind}' holds its settings under '{kind}'; "
                f"remove {', '.join(sorted(given))}.",
                param=f"method.{min(given)}",
            )
        if not isinstance(settings, dict) or set(settings) - {"hyperparameters"}:
            raise Invalid(
                f"method.{kind} holds one object, hyperparameters.", param=f"method.{kind}"
            )
        hyperparameters = settings.get("hyperparameters") or self.hyperparameters or {}
        if not isinstance(hyperparameters, dict):
            raise Invalid(
                "hyperparameters is an object of names and values.",
                param=f"method.{kind}.hyperparameters",
            )
        return kind, hyperparameters


class CreateJob(JobRequest):
    """OpenAI's request for a fine-tuning job."""

    training_file: Id

    def request(self) -> NewJob:
        """Raises Invalid when `method` has another shape than OpenAI's."""
        return self.request_with(self.training_file)


class CheckJob(JobRequest):
    """A request for a job whose training file may not be uploaded yet."""

    training_file: Id | None = None

    def request(self) -> NewJob:
        """Raises Invalid when `method` has another shape than OpenAI's."""
        return self.request_with(self.training_file or "")


class MethodSettings(Stored, total=False):
    """All settings of a method, those that were left to their defaults included."""

    hyperparameters: Required[dict[str, Value]]


class JobMethod(Stored, total=False):
    """A method as OpenAI shapes it: its settings are under its name; other names are absent."""

    type: Required[str]
    orpo: MethodSettings | None
    supervised: MethodSettings | None
    dpo: MethodSettings | None
    simpo: MethodSettings | None
    probability_ratio: MethodSettings | None
    reward: MethodSettings | None
    ppo: MethodSettings | None
    rloo: MethodSettings | None


class JobError(BaseModel):
    """Why a job failed, and what to do."""

    code: str
    message: str
    param: str | None = None


class JobObject(BaseModel):
    """OpenAI's job, with its progress and what this server adds."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    started_at: int | None
    finished_at: int | None
    estimated_finish: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: str
    desired_status: str
    training_file: str
    validation_file: str | None
    result_files: list[str]
    trained_tokens: int | None
    seed: int
    method: JobMethod
    hyperparameters: dict[str, Value]
    suffix: str | None
    name: str | None = Field(description="As given by an edit, otherwise the suffix.")
    tags: list[str]
    notes: str
    archived: bool
    metadata: dict[str, str]
    integrations: list[IntegrationObject] = []
    error: JobError | None
    progress: Progress | None
    prepared: Prepared | None
    priority: int
    attempts: int
    generation: int
    queue: QueuePlace | None = Field(None, description="While it waits for a worker.")
    waits_for: WaitsFor | None = Field(
        None, description="In answers about one job and in lists; null if it waits for nothing."
    )
    runs_on: RunsOn | None = Field(
        None, description="The cluster that it was submitted to, while a worker holds it."
    )
    gates: list[GateObject] = []
    promotion: Promotion | None = Field(
        None, description="Once all evaluations of its gates have ended; null without gates."
    )
    outcome: Outcome | None = Field(None, description="Once the held-out pairs were measured.")

    @classmethod
    def from_record(
        cls,
        job: Job,
        wait: Wait | None = None,
        outcome: outcomes.Outcome | None = None,
        mirrors: Sequence[Mirror] = (),
    ) -> "JobObject":
        method = method_of(job)
        return cls(
            id=job.id,
            created_at=seconds(job.created_at) or 0,
            started_at=seconds(job.started_at),
            finished_at=seconds(job.finished_at),
            estimated_finish=_estimated_finish(job),
            model=job.base_model,
            fine_tuned_model=job.fine_tuned_model,
            organization_id=job.org_id,
            status=SHOWN.get(JobState(job.state), job.state),
            desired_status=job.desired_state,
            training_file=job.training_file,
            validation_file=job.validation_file,
            result_files=job.result_files,
            trained_tokens=job.trained_tokens,
            seed=job.seed,
            method=method,
            hyperparameters=settings_of(job),
            suffix=job.suffix,
            name=job.name or job.suffix,
            tags=job.tags,
            notes=job.notes,
            archived=job.archived,
            metadata=job.metadata_,
            integrations=[IntegrationObject.from_record(mirror) for mirror in mirrors],
            error=JobError(**job.error) if job.error else None,
            progress=cast("Progress | None", job.progress),
            prepared=cast("Prepared | None", job.prepared),
            priority=job.priority,
            attempts=job.attempts,
            generation=job.generation,
            queue=QueuePlace.from_place(wait.place) if wait and wait.place else None,
            waits_for=WaitsFor.from_wait(wait) if wait else None,
            runs_on=RunsOn.from_placement(job.placement),
            gates=cast("list[GateObject]", job.gates),
            promotion=cast("Promotion | None", job.promotion),
            outcome=Outcome.from_numbers(outcome) if outcome else None,
        )


class JobCheck(BaseModel):
    """A job that would be accepted. Nothing was created."""

    object: Literal["fine_tuning.job.check"] = "fine_tuning.job.check"
    model: str
    method: JobMethod = Field(description="With all settings that the job would have.")


def method_of(job: Job) -> JobMethod:
    """A job's method as OpenAI shapes it: its settings under its own name."""
    return shaped(job.method)


def shaped(method: dict[str, Any]) -> JobMethod:
    """A stored method as OpenAI shapes it."""
    kind, settings = method["type"], _settings(method)
    found: Any = {"type": kind, kind: {"hyperparameters": settings}}
    return found


def settings_of(job: Job) -> dict[str, Any]:
    """All hyperparameters of a job, those that were left to their defaults included."""
    return _settings(job.method)


def _settings(method: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in method.items() if name != "type"}


def _estimated_finish(job: Job) -> int | None:
    eta_s = (job.progress or {}).get("eta_s")
    if job.state not in (JobState.CLAIMED, JobState.RUNNING) or eta_s is None:
        return None
    return int(datetime.now(UTC).timestamp() + eta_s)


def seconds(moment: datetime | None) -> int | None:
    """Return a moment as whole Unix seconds, or None where there is none."""
    return None if moment is None else int(moment.timestamp())


class JobEventObject(BaseModel):
    """OpenAI's event of a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: str
    message: str
    type: EventType
    data: dict[str, Any] | None = Field(
        description="Of a message: its `kind`, and facts that differ by kind. Of a step: its "
        "number, `total_steps`, `train_loss`, and each training series at that step."
    )

    @classmethod
    def from_record(cls, event: JobEvent | StepEvent) -> "JobEventObject":
        return cls(
            id=job_events.event_id(event),
            created_at=seconds(event.created_at) or 0,
            level=event.level,
            message=event.message,
            type=EventType(event.type),
            data=event.data,
        )


class JobLogs(BaseModel):
    """The end of a log."""

    object: Literal["fine_tuning.job.logs"] = "fine_tuning.job.logs"
    text: str
    truncated: bool = Field(description="There is more before it.")


class CheckpointMetrics(Stored, total=False):
    """The numbers of a checkpoint's step: each series of the held-out pairs, and OpenAI's names."""

    step: int | None
    train_loss: Annotated[float | None, Field(description="Of the step's batch.")]
    full_valid_loss: Annotated[float | None, Field(description="Of all held-out pairs.")]
    loss: Annotated[float | None, Field(description="The same as `full_valid_loss`.")]
    accuracy: Annotated[
        float | None,
        Field(description="The share of held-out pairs whose chosen answer is preferred."),
    ]


class CheckpointObject(BaseModel):
    """OpenAI's checkpoint, with the size and the hash of its weights."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: CheckpointMetrics
    size_bytes: int
    sha256: str

    @classmethod
    def from_record(cls, checkpoint: Checkpoint) -> "CheckpointObject":
        return cls(
            id=checkpoint.id,
            created_at=seconds(checkpoint.created_at) or 0,
            fine_tuning_job_id=checkpoint.job_id,
            fine_tuned_model_checkpoint=checkpoint.model,
            step_number=checkpoint.step,
            metrics=cast("CheckpointMetrics", checkpoint.metrics),
            size_bytes=checkpoint.size_bytes,
            sha256=checkpoint.sha256,
        )
