"""Deep audits of files on the wire: their progress, their result and the judged pairs."""

from typing import Literal, cast

from pydantic import BaseModel, Field

from api.schemas.body import Body
from api.schemas.jobs import SHOWN, JobError, seconds
from api.schemas.pages import ListPage
from api.schemas.progress import Prepared, Progress
from api.schemas.stored import Stored
from api.schemas.text import Id
from models import Job
from models.jobs import JobState


class CreateDeepAudit(Body):
    """A request for a deep audit."""

    model: Id = Field(description="A registered base model: it is the judge.")
    seed: int | None = Field(
        None, ge=0, lt=2**31, description="Same seed, same result; 0 if left out."
    )


class Share(Stored, total=False):
    """A share with the ends of its 95 % interval."""

    share: float
    low: float
    high: float


class DeepAuditResult(Stored, total=False):
    """What was found: `noise_share` is the estimated share of wrong choices, `accuracy` the share
    of pairs whose given choice the judge shares, `base_accuracy` the same for the base alone.
    `lines` are the first ten of each finding.
    """

    pairs: int
    likely_swapped: int
    unclear: int
    supported: int
    lines: dict[str, list[int]]
    noise_share: Share
    accuracy: Share
    base_accuracy: float
    tokens: int


class DeepAuditObject(BaseModel):
    """A deep audit: waiting, running, or ended with a result or an error."""

    id: str
    object: Literal["file.deep_audit"] = "file.deep_audit"
    created_at: int
    started_at: int | None
    finished_at: int | None
    status: str
    file_id: str
    model: str
    seed: int
    prepared: Prepared | None
    progress: Progress | None
    result: DeepAuditResult | None
    result_files: list[str]
    error: JobError | None

    @classmethod
    def from_record(cls, job: Job) -> "DeepAuditObject":
        return cls(
            id=job.id,
            created_at=seconds(job.created_at) or 0,
            started_at=seconds(job.started_at),
            finished_at=seconds(job.finished_at),
            status=SHOWN.get(JobState(job.state), job.state),
            file_id=job.training_file,
            model=job.base_model,
            seed=job.seed,
            prepared=cast("Prepared | None", job.prepared),
            progress=cast("Progress | None", job.progress),
            result=cast("DeepAuditResult | None", job.estimate),
            result_files=job.result_files,
            error=JobError(**job.error) if job.error else None,
        )


class JudgedPair(BaseModel):
    """A pair from the most suspicious (`rank` 1) on. `line` is its line in the uploaded file, and
    `place` its place among the accepted rows, from 0: the `offset` of the preview.

    `base_log_odds` is the base's log odds ratio of the given choice. `judged_log_odds` is the log
    odds that the choice is right, from judges that were not trained on the pair; `score` the
    probability that it is wrong.
    """

    rank: int
    line: int
    place: int
    score: float
    base_log_odds: float
    judged_log_odds: float
    opinion: str


class JudgedPairs(ListPage[JudgedPair]):
    """A page of the judged pairs. The next one begins at `offset` plus the number of pairs in
    `data`.
    """

    offset: int
    total: int
