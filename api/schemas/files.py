"""Files, their reports and their rows on the wire."""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from api.schemas.pages import ListPage
from api.schemas.stored import MessageObject
from api.schemas.text import CUT
from models import File


class FileObject(BaseModel):
    """OpenAI's file, with what is known of its rows."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None
    sha256: str
    # Of the report; null until there is one.
    rows: int | None
    accepted: int | None

    @classmethod
    def from_record(cls, record: File) -> "FileObject":
        return cls.model_validate(
            {
                "id": record.id,
                "bytes": record.size_bytes,
                "created_at": int(record.created_at.timestamp()),
                "filename": record.filename,
                "purpose": record.purpose,
                "status": record.status,
                "status_details": record.status_details,
                "sha256": record.sha256,
                "rows": (record.report or {}).get("rows"),
                "accepted": (record.report or {}).get("accepted"),
            }
        )


class Finding(BaseModel):
    """What is wrong with one row."""

    line: int
    column: int | None
    code: str
    message: str


class Remark(BaseModel):
    """Something about accepted rows: `unused_key` (`key` is not read) or `spelled_messages` (the
    text in `key` is a list of messages in JSON, and was read as one). `lines` are the first ten.
    """

    code: str
    key: str
    rows: int
    lines: list[int]


class FileReport(BaseModel):
    """rows = accepted + the sum of `dropped`; `findings` are the first 100. `remarks` are about
    accepted rows.
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


class FileRow(BaseModel):
    """An accepted row in its normal form; `line` is that of the uploaded file."""

    line: int
    prompt: list[MessageObject]
    chosen: list[MessageObject]
    rejected: list[MessageObject] | None
    tools: list[dict[str, JsonValue]] | None = Field(
        default=None, description="The tool definitions that the model is shown."
    )
    cut: bool = Field(default=False, description=CUT)


class FileRows(ListPage[FileRow]):
    """A page of the accepted rows. Rows have no ids: the next page begins at `offset` plus the
    number of rows in `data`.
    """

    offset: int
    total: int
