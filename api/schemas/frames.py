"""The frames of the streams, whose shapes FastAPI can't find by itself (`api/document.py`).

A failed stream ends with an ErrorBody instead.
"""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.comparisons import ComparisonObject, Usage
from api.schemas.errors import Error


class StepNumbers(BaseModel):
    """`metrics` of a job's stream: the numbers of a step. Null stands for NaN or infinity."""

    step: int
    split: str = Field(description="train or held_out")
    values: dict[str, float | None]


class ComparisonBegun(BaseModel):
    """The first frame of a comparison: the models that answer."""

    comparison: ComparisonObject


class SideDelta(BaseModel):
    """A part of a side's answer."""

    side: int
    model: str
    delta: str


class SideEnded(BaseModel):
    """A side has ended; its measures are null where the answer is empty."""

    side: int
    model: str
    done: Literal[True]
    finish_reason: str | None
    usage: Usage | None
    first_token_s: float | None
    tokens_per_s: float | None


class SideFailed(BaseModel):
    """A side has failed."""

    side: int
    model: str
    error: Error


FRAMES: list[type[BaseModel]] = [StepNumbers, ComparisonBegun, SideDelta, SideEnded, SideFailed]
