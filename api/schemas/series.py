"""Numbers of a run on the wire: bucketed series, held-out pairs, sampled answers."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas.stored import MessageObject
from api.schemas.text import CUT
from models import Sample

SHOWN = ("step", "line", "prompt", "answer", "chosen", "rejected")


class SeriesPoint(BaseModel):
    """A range of steps. If `finite` is below `count`, some values were NaN or infinite."""

    x0: int
    x1: int
    min: float | None
    max: float | None
    mean: float | None
    last: float | None
    count: int
    finite: int


class Series(BaseModel):
    """One series of a job, by steps."""

    key: str
    points: list[SeriesPoint]


class SeriesList(BaseModel):
    """Some series of a job."""

    object: Literal["series"] = "series"
    keys: list[str] = Field(description="All series that the job has.")
    data: list[Series]
    cursor: str = Field(
        description="Send it as `Last-Event-ID` to the job's stream, which then goes on after "
        "these numbers. With several pages, use the cursor of the first."
    )
    has_more: bool
    first_id: str | None
    last_id: str | None = Field(description="The key of the last series in `data`.")


class PairNumbers(BaseModel):
    """A pair at one evaluation; log-probs are means per token. Null stands for NaN or infinity."""

    step: int
    log_odds_ratio: float | None = Field(
        description="Of a reward model, which has no log-probs: the chosen answer's reward minus "
        "the rejected one's."
    )
    logps_chosen: float | None
    logps_rejected: float | None
    nll: float | None


class PairObject(BaseModel):
    """A held-out pair; its texts are null where the run directory is gone."""

    id: str = Field(description="Its line.")
    object: Literal["fine_tuning.job.pair"] = "fine_tuning.job.pair"
    line: int
    prompt: list[MessageObject] | None
    chosen: str | None
    rejected: str | None
    before: PairNumbers
    after: PairNumbers
    cut: bool = Field(default=False, description=CUT)

    @classmethod
    def from_pair(cls, pair: dict[str, Any]) -> "PairObject":
        return cls(id=str(pair["line"]), **pair)


class SampleObject(BaseModel):
    """The answer to a held-out prompt at one evaluation, beside the pair's own."""

    id: str = Field(description="Its step and line, as `step:line`.")
    object: Literal["fine_tuning.job.sample"] = "fine_tuning.job.sample"
    step: int
    line: int
    prompt: list[MessageObject]
    answer: str
    chosen: str
    rejected: str | None
    cut: bool = Field(default=False, description=CUT)

    @classmethod
    def from_record(cls, sample: Sample) -> "SampleObject":
        shown = {name: getattr(sample, name) for name in SHOWN}
        return cls(id=f"{sample.step}:{sample.line}", **shown)
