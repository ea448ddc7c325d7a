"""Files, their reports and their rows on the wire."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, JsonValue

from api.schemas.body import Body
from api.schemas.pages import ListPage
from api.schemas.stored import MessageObject
from api.schemas.text import CUT
from api.schemas.votes import MadeFrom
from models import File
from orpo.audit.kinds import Severity, Step
from orpo.audit.recipe import Step as RecipeStep
from orpo.audit.verdict import Judgement
from services.files import progress

# An hour and 30 days, as OpenAI has them.
LEAST_S, MOST_S = 3600, 2_592_000


class ExpiresAfter(Body):
    """When a file is to be deleted: so many seconds after it was made."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=LEAST_S, le=MOST_S)]


class Parent(BaseModel):
    """A file that a version was made of. It may have been deleted since."""

    id: str
    sha256: str


class FileProgress(BaseModel):
    """How far a file is that is being made or validated: `done` of `total` rows or bytes.

    `stage` is `make` (a version by its recipe), `validate`, and of an audit `audit` (rows are
    looked at) and `compare` (they are compared with each other). While a version is made, `step`
    of `steps` is applied, which is called `name`: the steps of its recipe, and `write`. `total` is
    null where it is not known: of a compressed file.
    """

    stage: Literal["make", "validate", "audit", "compare"]
    done: int
    total: int | None
    unit: Literal["rows", "bytes"]
    step: int | None = None
    steps: int | None = None
    name: str | None = None


class FileObject(BaseModel):
    """OpenAI's file, with what is known of its rows.

    A version has the `recipe` that made it and its `parents`, first the file that the recipe was
    applied to; `bytes` is 0 and `sha256` is empty until it is made. An upload has neither.
    """

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    # Null: it stays until it is deleted.
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None
    sha256: str
    columns: dict[str, str] | None = Field(
        default=None, description="Fields of a row, and the names of the columns that hold them."
    )
    # Of the report; null until there is one.
    rows: int | None
    accepted: int | None
    shapes: dict[str, int] | None = Field(
        description="Accepted rows by their shape; those of `messages` have no rejected answer."
    )
    progress: FileProgress | None = Field(
        default=None, description="While it is made or validated, if that takes seconds."
    )
    parents: list[Parent] = []
    recipe: list[RecipeStep] | None = None
    made_from: MadeFrom | None = Field(
        default=None, description="The votes that it was made of, if it was."
    )

    @classmethod
    def from_record(cls, record: File) -> "FileObject":
        return cls.model_validate(
            {
                "id": record.id,
                "bytes": record.size_bytes,
                "created_at": int(record.created_at.timestamp()),
                "expires_at": record.expires_at and int(record.expires_at.timestamp()),
                "filename": record.filename,
                "purpose": record.purpose,
                "status": record.status,
                "status_details": record.status_details,
                "sha256": record.sha256,
                "columns": record.columns,
                "rows": (record.report or {}).get("rows"),
                "accepted": (record.report or {}).get("accepted"),
                "shapes": (record.report or {}).get("shapes"),
                "progress": progress.of(record),
                "parents": record.parents or [],
                "recipe": record.recipe,
                "made_from": record.made_from,
            }
        )


class Finding(BaseModel):
    """What is wrong with one row; `line` is where it begins, or its number in a Parquet file."""

    line: int
    column: int | None
    code: str
    message: str


class Remark(BaseModel):
    """Something about accepted rows: `unused_key` (`key` is not read), `spelled_messages` (the
    text in `key` is a list of messages in JSON, and was read as one) or `duplicate_key` (an object
    holds `key` twice, and the last value was read). `lines` are the first ten.
    """

    code: str
    key: str
    rows: int
    lines: list[int]


class Repair(BaseModel):
    """The step of a recipe that repairs a finding: `drop` leaves out its rows, `deduplicate` all
    but the first of each group; `repair` changes their texts.
    """

    step: Step
    finding: str


class AuditFinding(BaseModel):
    """Something about accepted rows: how many, and the lines of the first ten. `message` says why
    it matters; `repair` is null where no step repairs it with certainty. A finding of the newest
    deep audit also has its id and the base `model` that judged.
    """

    code: str
    severity: Severity
    rows: int
    lines: list[int]
    message: str
    repair: Repair | None
    deep_audit: str | None = None
    model: str | None = None


class AuditLength(BaseModel):
    """How much of the preference is length or single words. `longer_wins` is the share of pairs of
    unequal length whose chosen answer is the longer one; the accuracies are those of classifiers
    that see nothing else, on `n_tested` pairs that they were not trained on; null if there are too
    few. The means are in characters.
    """

    longer_wins: float | None
    length_only_accuracy: float | None
    bag_of_words_accuracy: float | None
    n_tested: int
    mean_chosen_chars: float
    mean_rejected_chars: float


class AuditLanguage(BaseModel):
    """Sampled rows whose chosen answer is in this language (ISO 639-1, or `unknown`)."""

    language: str
    rows: int


class Audit(BaseModel):
    """What is wrong with the accepted rows. `reasons` are the sentences that `verdict` rests on.

    `findings` are sorted, errors first. Languages are detected on `sampled` rows. `length` is null
    for rows without a rejected answer.
    """

    verdict: Judgement
    reasons: list[str]
    findings: list[AuditFinding]
    length: AuditLength | None
    languages: list[AuditLanguage]
    sampled: int


class StepReport(BaseModel):
    """A step of the recipe of a version: how many rows it got, left and changed."""

    step: str
    rows_before: int
    rows_after: int
    rows_changed: int


class PromptsReport(BaseModel):
    """What is known of the prompts of a file with the purpose `evals`.

    `repeated` rows ask what an earlier row asks; they are kept, and asked once. `turns` is the most
    turns of a row. `suites` are those that the file fits, and `unfit` says why others don't fit.
    `official` is the suite whose official file this is, byte for byte; null if it is of none.
    """

    repeated: int
    turns: int
    suites: list[str]
    unfit: dict[str, str]
    official: str | None


class FileReport(BaseModel):
    """rows = accepted + `joined` + the sum of `dropped`; `findings` are the first 100. `remarks`
    are about accepted rows. `joined` rows are the other half of an accepted pair of thumbs.
    `suggested_columns` is a value of `columns` under which the file's rows would be accepted.
    `audit` is null if there is no accepted row, for files of an older release, and where
    `audit_failure` says why. `steps` are those of a version's recipe; null for an upload, and a
    version of an older release.
    """

    object: Literal["file.report"] = "file.report"
    file_id: str
    rows: int
    accepted: int
    dropped: dict[str, int]
    findings: list[Finding]
    shape: str | None
    shapes: dict[str, int]
    remarks: list[Remark] = []
    container: str | None = None
    joined: int = 0
    suggested_columns: dict[str, str] | None = None
    audit: Audit | None = None
    audit_failure: str | None = None
    steps: list[StepReport] | None = None
    prompts: PromptsReport | None = Field(
        default=None, description="Of a file of prompts, which has no pairs."
    )
    cut: bool = Field(default=False, description=CUT)


class Token(BaseModel):
    """`text` is what the token adds to the text; that of a character of several tokens is at its
    last one. `trained` says whether its probability is part of the objective's answers.
    """

    id: int
    text: str
    trained: bool


class TokensOfPart(BaseModel):
    """How many tokens a part of a pair has, how many are trained, and the first thousand."""

    n_tokens: int
    n_trained: int
    tokens: list[Token]


class RowTokens(BaseModel):
    """The tokens of a pair, as a run computes them: `prefix` once for both answers.

    `dropped` is the reason if a run would leave the pair out, and `why` a sentence about it; there
    are no tokens then.
    `template` is `model`, or `default` if the base has none.
    """

    object: Literal["file.row.tokens"] = "file.row.tokens"
    file_id: str
    model: str
    line: int
    template: str
    dropped: str | None
    why: str | None
    truncated: bool
    reasoning_stripped: bool = Field(
        default=False, description="The answers are without their thoughts."
    )
    history_thoughts_dropped: bool = Field(
        default=False, description="The chat template leaves out thoughts of earlier turns."
    )
    prefix: TokensOfPart | None
    chosen: TokensOfPart | None
    rejected: TokensOfPart | None


class Origin(BaseModel):
    """Where a row of a version is from: a parent, and the line in it."""

    file_id: str
    line: int


def _origin(value: Any) -> Any:
    """The normal form of a row has an array: the file's id and the line."""
    return dict(zip(Origin.model_fields, value, strict=False)) if isinstance(value, list) else value


class FileRow(BaseModel):
    """An accepted row in its normal form; `line` is that of the uploaded file, `place` its index
    among the accepted rows, from 0. `from` is null but for rows of a version.

    `findings` are the codes of the audit's findings that name it. Where rows of one finding are
    listed, rows that belong together, such as duplicates, have the same `group`.
    """

    line: int
    place: int
    origin: Annotated[Origin | None, BeforeValidator(_origin)] = Field(default=None, alias="from")
    prompt: list[MessageObject]
    chosen: list[MessageObject]
    rejected: list[MessageObject] | None
    tools: list[dict[str, JsonValue]] | None = Field(
        default=None, description="The tool definitions that the model is shown."
    )
    findings: list[str]
    group: int | None
    masked: bool = Field(
        default=False, description="Personal data or secrets in it are masked, such as [email]."
    )
    cut: bool = Field(default=False, description=CUT)


class FileRows(ListPage[FileRow]):
    """A page of the accepted rows. Rows have no ids: the next page begins at `next_offset`, which
    is null at the end.

    `total` is the number of rows that `offset` counts: all, or those of the finding. A search does
    not change it: `searched` rows were read for it, and `stopped_early` says that it reached its
    limit of time or bytes before the page was full; go on at `next_offset`.
    """

    offset: int
    next_offset: int | None
    total: int
    searched: int
    stopped_early: bool


class DroppedRow(BaseModel):
    """A row that is not trained on, and why. `text` is what stands in the file, at most 2,000
    characters of it from `first_character` on (from 1); null if it can't be shown as text.
    """

    line: int
    column: int | None
    code: str
    message: str
    text: str | None
    first_character: int
    masked: bool = Field(
        default=False, description="Personal data or secrets in it are masked, such as [email]."
    )


class DroppedRows(ListPage[DroppedRow]):
    """Dropped rows in the file's order: the report keeps the first hundred. `total` counts all of
    them; the next page begins at `offset` plus the number of rows in `data`.
    """

    offset: int
    total: int
