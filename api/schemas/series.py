"""Numbers of a run on the wire: bucketed series, held-out pairs, sampled answers."""

from typing import Any, Literal

from pydantic import BaseModel


class SeriesPoint(BaseModel):
    """A range of steps. Where `finite` is below `count`, a value was not a number."""

    x0: int
    x1: int
    min: float | None
    max: float | None
    mean: float | None
    last: float | None
    count: int
    finite: int


class Series(BaseModel):
    key: str
    points: list[SeriesPoint]


class SeriesList(BaseModel):
    object: Literal["series"] = "series"
    keys: list[str]
    data: list[Series]


class PairObject(BaseModel):
    """A held-out pair; its texts are null where the run directory is gone."""

    line: int
    prompt: list[dict[str, Any]] | None
    chosen: str | None
    rejected: str | None
    before: dict[str, Any]
    after: dict[str, Any]


class PairList(BaseModel):
    object: Literal["list"] = "list"
    data: list[PairObject]
    has_more: bool = False


class SampleObject(BaseModel):
    step: int
    line: int
    prompt: list[dict[str, Any]]
    answer: str
    chosen: str
    rejected: str | None


class SampleList(BaseModel):
    object: Literal["list"] = "list"
    data: list[SampleObject]
    has_more: bool = False
