"""Judges a large file in two processes, one half of its rows each; the result is that of one.

Knows how two halves are joined; `formats.py` knows how rows are judged.
"""

import multiprocessing
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from orpo.rows import formats, limits
from orpo.rows.column_names import Columns, Renamer
from orpo.rows.formats import Judge
from orpo.rows.index import Index
from orpo.rows.messages import Pair
from orpo.rows.report import Report
from orpo.rows.row import Half, Inseparable
from orpo.rows.rows import can_be_halved, container_name, read_rows
from orpo.rows.thumbs import Thumbs

PROCESSES = 2
WORTH_A_PROCESS = 4_000_000  # bytes of a file


class Source(NamedTuple):
    """A file as it was uploaded, and the mapping of its columns."""

    path: Path
    filename: str
    columns: Columns | None = None


def validate(
    source: Source, out_path: Path, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Report, Index]:
    """What `formats.validate` does and finds, with the index of the accepted rows.

    A large file is judged by two processes, unless its rows have to be read in order. Call it in a
    process without threads, because it forks.
    """
    has_cores = len(os.sched_getaffinity(0)) >= PROCESSES
    is_large = source.path.stat().st_size >= WORTH_A_PROCESS
    if has_cores and is_large and can_be_halved(source.path, source.filename):
        with suppress(Inseparable):
            judge = _in_two(source, out_path, on_progress)
            return judge.end(), judge.index
    index = Index()
    report = formats.validate(
        source.path, source.filename, out_path, on_progress, columns=source.columns, index=index
    )
    return report, index


def _in_two(
    source: Source, out_path: Path, on_progress: Callable[[int, int], None] | None
) -> Judge:
    """Judge the first half here and the second one in another process.

    The progress is twice that of the first half. Raises Inseparable if a half can't be judged
    without the other.
    """
    part_path = out_path.with_name(out_path.name + ".part")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    other = context.Process(target=_send_second, args=(sender, source, part_path))
    other.start()
    sender.close()
    tell = on_progress and (lambda n_rows, read_bytes: on_progress(2 * n_rows, 2 * read_bytes))
    try:
        judge = _judged(Half.FIRST, source, out_path, tell)
        if not judge.report.is_cut_short:
            judge.add(_received(receiver))
            with part_path.open("rb") as part, out_path.open("ab") as out:
                shutil.copyfileobj(part, out, limits.CHUNK_BYTES)
    finally:
        other.kill()
        other.join()
        part_path.unlink(missing_ok=True)
    return judge


def _judged(
    half: Half,
    source: Source,
    out_path: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> Judge:
    container = container_name(source.path, source.filename)
    judge = Judge(container, Renamer(source.columns), _NoThumbs(None), Index())
    judge.write(read_rows(source.path, source.filename, half), out_path, on_progress)
    return judge


class _NoThumbs(Thumbs):
    """An answer with a thumb may wait for one in the other half."""

    def pair(self, thumb: Pair, is_good: bool) -> tuple[Pair, int] | None:  # noqa: ARG002
        raise Inseparable


def _send_second(sender: Connection, source: Source, out_path: Path) -> None:
    """Judge the second half, and send the judge or the error that stopped it."""
    try:
        sender.send(_judged(Half.SECOND, source, out_path))
    except Exception as error:  # noqa: BLE001 - raised in the first process
        sender.send(error)


def _received(receiver: Connection) -> Judge:
    """What the other process sends; raises its error."""
    try:
        found = receiver.recv()
    except EOFError:
        raise ChildProcessError("the second process ended early") from None
    if isinstance(found, Exception):
        raise found
    return found
