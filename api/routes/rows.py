"""The rows of a file: the accepted ones by place, finding and text, and the dropped ones."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Query, Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from api import threads
from api.deps import CallerDep
from api.pages import encode, listed, take
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.files import DroppedRow, DroppedRows, FileRow, FileRows
from api.schemas.text import NO_NUL, Id
from api.schemas.unmask import Unmask
from models import File
from services.access.callers import Caller
from services.files import dropped, files, rows
from services.files.masking import mask
from services.files.rows import Wanted
from services.platform.database import reading

router = Router(prefix="/v1/files", tags=["files"])

Offset = Annotated[int, Query(ge=0, lt=2**31), DIGITS_ONLY]
Limit = Annotated[int, Query(ge=1, le=100), DIGITS_ONLY]
Code = Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
Sought = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]


@router.get(
    "/{file_id}/rows", summary="The accepted rows in their normal form", response_model=FileRows
)
async def list_rows(
    caller: CallerDep,
    file_id: Id,
    offset: Offset = 0,
    limit: Limit = 20,
    finding: Annotated[
        Code | SkipJsonSchema[None],
        Query(description="The code of a finding: its rows alone, duplicates next to each other."),
    ] = None,
    search: Annotated[
        Sought | SkipJsonSchema[None],
        Query(description="A text of the prompt or of an answer, in upper or lower case."),
    ] = None,
    unmask: Unmask = False,
) -> Response:
    """Return rows in normal form, whatever the file's shape, each with its line in the file.

    Personal data and secrets are masked, such as `[email]`. A search reads up to 256 MiB for two
    seconds, from `offset` on.
    """
    wanted = Wanted(offset, limit, finding, search)
    return await threads.run(
        threads.READING, caller.account, read, caller, file_id, wanted, unmask=unmask
    )


def read(caller: Caller, file_id: str, wanted: Wanted, *, unmask: bool) -> Response:
    """Return a page of the accepted rows."""
    record = validated(caller, file_id)
    with rows.select(record, wanted) as selection:
        positions: list[int] = []

        def encoded() -> Iterator[tuple[None, bytes]]:
            for found in selection:
                positions.append(found.position)
                row = found.row if unmask else mask(found.row)
                facts = {"place": found.place, "findings": found.findings, "group": found.group}
                facts["masked"] = row != found.row
                yield None, encode(FileRow.model_validate(row | facts))

        taken = take(encoded())
        after = positions[len(taken.parts)] if taken.has_more else selection.next_offset
        return listed(
            taken,
            has_more=after is not None,
            offset=wanted.offset,
            next_offset=after,
            total=selection.total,
            searched=selection.searched,
            stopped_early=selection.stopped_early and not taken.has_more,
        )


@router.get(
    "/{file_id}/dropped",
    summary="The dropped rows: why, and their original text",
    response_model=DroppedRows,
)
async def list_dropped(
    caller: CallerDep,
    file_id: Id,
    offset: Offset = 0,
    limit: Limit = 20,
    unmask: Unmask = False,
) -> Response:
    """Return why rows were dropped, with the text of the uploaded file. Starts a process.

    Personal data and secrets are masked, such as `[email]`.
    """
    record = await threads.run(threads.READING, caller.account, validated, caller, file_id)
    found = await threads.run(
        threads.SHOWING, caller.account, originals, record, offset, limit, unmask=unmask
    )
    taken = take((None, encode(row)) for row in found)
    is_last = offset + len(found) >= dropped.kept(record)
    return listed(
        taken,
        has_more=taken.has_more or not is_last,
        offset=offset,
        total=dropped.total(record),
    )


def originals(record: File, offset: int, limit: int, *, unmask: bool) -> list[DroppedRow]:
    """Return dropped rows with their text."""
    found = dropped.originals(record, offset, limit)
    shown = found if unmask else mask(found)
    return [
        DroppedRow.model_validate(row | {"masked": row != original})
        for row, original in zip(shown, found, strict=True)
    ]


def validated(caller: Caller, file_id: str) -> File:
    """Return a file that was validated, or raise NotFound or Conflict."""
    with reading() as session:
        return files.validated(files.get(session, caller, file_id))
