"""What users see of a job's run directory: the texts of its held-out pairs, and its log.

Knows the directory's layout (docs/decisions/0005-the-run-directory.md); writes nothing there.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import orjson

from models import Job
from orpo.contract import rundir
from orpo.contract.rundir import HELD_OUT_ROWS
from orpo.rows.messages import Message, as_text
from services.platform.settings import get_settings
from services.platform.sizes import ANSWER_BYTES, size_bytes
from services.runs import prepared

LOG_TAIL_BYTES = 64 * 1024


NO_TEXTS: dict[str, Any] = {"prompt": None, "chosen": None, "rejected": None}


def with_texts(job: Job, pairs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the pairs, whose `line` rises, each with the texts of its held-out row.

    `prompt` is a list of messages, the answers are text; all are None where the row is gone. Rows
    are read one by one, since they may be large.
    """
    with closing(_held_out(job)) as rows:
        row = next(rows, None)
        for pair in pairs:
            texts = NO_TEXTS
            while row is not None and row["line"] <= pair["line"]:
                texts = _texts(row) if row["line"] == pair["line"] else NO_TEXTS
                row = next(rows, None)
            yield pair | texts


def _held_out(job: Job) -> Generator[dict[str, Any]]:
    path = prepared.folder(job.id) / HELD_OUT_ROWS
    if path.exists():
        with path.open("rb") as lines:
            yield from map(orjson.loads, lines)


def held_out_prompts(job: Job) -> Iterator[list[Message]]:
    """Yield the prompts of the job's held-out pairs; none where its run folder is gone."""
    with closing(_held_out(job)) as rows:
        yield from (row["prompt"] for row in rows)


def _texts(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt": row["prompt"],
        "chosen": _text(row["chosen"]),
        "rejected": _text(row.get("rejected")),
    }


def _text(messages: list[Message] | None) -> str | None:
    return None if messages is None else "\n\n".join(map(as_text, messages))


def log_tail(job: Job, tail_bytes: int = LOG_TAIL_BYTES) -> tuple[str, bool]:
    """Return the end of the training processes' log, and whether there is more before it.

    Returns at most `tail_bytes`, and at most ANSWER_BYTES as JSON, where a control character takes
    six bytes. The log is that of the newest attempt that has one; it is empty before training
    begins.
    """
    for generation in range(job.generation, 0, -1):
        path = rundir.generation(get_settings().runs_dir / job.id, generation) / rundir.log()
        if path.exists():
            with path.open("rb") as log:
                size = log.seek(0, 2)
                log.seek(max(0, size - tail_bytes))
                text = log.read(tail_bytes).decode(errors="replace")
                return _end(text, size > tail_bytes)
    return "", False


def _end(text: str, truncated: bool) -> tuple[str, bool]:
    """Cut a text from the front until it has ANSWER_BYTES as JSON; returns whether it was cut."""
    while (excess := (has := size_bytes(text)) - ANSWER_BYTES) > 0:
        text, truncated = text[excess * len(text) // has + 1 :], True
    return text, truncated
