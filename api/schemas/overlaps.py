"""Prompts that a file shares with other files, on the wire."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas.text import CUT
from models import File

WHY = (
    "The prompt also stands in the other file: figures of a run that is tested on it are too good."
)


class OverlappingRows(BaseModel):
    """How many accepted rows, and their share of all. `lines` are the first 10,000, as the step
    `drop_rows` of a recipe takes them.
    """

    rows: int
    share: float
    lines: list[int]


class OverlappingPair(BaseModel):
    """A row, and a row of the other file with the same prompt or a nearly equal one. `similarity`
    is the share of eight-byte pieces that both have, 1 for the same prompt. Texts have at most 300
    characters.
    """

    line: int
    prompt: str
    against_line: int
    against_prompt: str
    similarity: float


class OverlapOfKind(BaseModel):
    """How many accepted rows have a prompt of the other file, and the first ten."""

    rows: int
    share: float
    pairs: list[OverlappingPair]


class OverlapWithFile(BaseModel):
    """What a file shares with one other file. `prompts` counts the other file's different prompts,
    `without_prompt` its rows in which none was found.
    """

    file_id: str
    filename: str
    prompts: int
    without_prompt: int
    same: OverlapOfKind
    near: OverlapOfKind


class FileOverlaps(BaseModel):
    """Accepted rows whose prompt stands in one of the other files: the `same`, apart from white
    space, case and system messages, or a `near` one, which shares four fifths of its text.

    A row with both counts as `same`. `message` says why it matters; null if nothing was found.
    """

    object: Literal["file.overlaps"] = "file.overlaps"
    file_id: str
    rows: int
    same: OverlappingRows
    near: OverlappingRows
    message: str | None
    against: list[OverlapWithFile]
    masked: bool = Field(description="Personal data and secrets in texts are masked.")
    cut: bool = Field(default=False, description=CUT)

    @classmethod
    def of(
        cls, record: File, against: Sequence[File], found: dict[str, Any], *, masked: bool
    ) -> "FileOverlaps":
        """From what the core has found."""
        n = found["rows"]

        def shared(kind: dict[str, Any]) -> dict[str, Any]:
            return {**kind, "share": kind["rows"] / n if n else 0.0}

        files = [
            {
                **each,
                "file_id": file.id,
                "filename": file.filename,
                "same": shared(each["same"]),
                "near": shared(each["near"]),
            }
            for file, each in zip(against, found["against"], strict=True)
        ]
        some = found["same"]["rows"] or found["near"]["rows"]
        return cls.model_validate(
            {
                "file_id": record.id,
                "rows": n,
                "same": shared(found["same"]),
                "near": shared(found["near"]),
                "message": WHY if some else None,
                "against": files,
                "masked": masked,
            }
        )
