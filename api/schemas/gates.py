"""Gates of a job on the wire: what its model must reach, and whether it has."""

from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas.body import Body
from api.schemas.stored import Stored
from api.schemas.text import Id
from services.evaluations.prompts import MOST

# For the document only: `evals.gates.parse` checks it, with an error message of its own.
THRESHOLD = {"anyOf": [{"type": "number"}, {"type": "string", "maxLength": 100}]}


def _threshold(value: Any) -> float | str:
    """One error for both types: those of a union would name a field `at_least.float`."""
    if isinstance(value, str) and len(value) <= 100:
        return value
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass
    raise PydanticCustomError("threshold", "send a number, or text such as `base - 0.02`")


class GateRequest(Body):
    """What the model must reach once it is trained."""

    suite: Id = Field(description="`GET /v1/suites` lists them with their metrics.")
    data: Id = Field(description="The file of prompts.")
    metric: Id
    at_least: Annotated[float | str, PlainValidator(_threshold), WithJsonSchema(THRESHOLD)] = Field(
        description="A number, or `base`, `base - 0.02`: relative to the base model. The whole "
        "95 % interval must be at or above it."
    )
    judge: Id | None = Field(None, description="The id of a judge, where the suite needs one.")
    limit: int | None = Field(
        None, ge=1, le=MOST, description="Ask only so many of the prompts, drawn by `seed`."
    )
    seed: int | None = Field(None, ge=0, lt=2**31, description="0 if left out.")
    deploy: bool = Field(
        True,
        description="Deploy the models that are not deployed, and stop them at the end.",
    )

    def stored(self) -> dict[str, Any]:
        """The gate as a job's row has it."""
        return self.model_dump()


class GateObject(Stored, total=False):
    """A gate of a job."""

    suite: str
    data: str
    metric: str
    at_least: float | str
    judge: str | None
    limit: int | None
    seed: int | None
    deploy: bool
    evaluation: Annotated[
        str | None, Field(description="The evaluation that decides it; null before training ends.")
    ]


class GateResult(GateObject, total=False):
    """A gate that was decided."""

    passed: Annotated[
        bool | None, Field(description="Null if its evaluation has not measured the metric.")
    ]
    reason: str


class Promotion(Stored, total=False):
    """Whether the model has passed all gates of its job."""

    promoted: bool
    gates: list[GateResult]
