"""What a job's run directory tells people: the texts of its held-out pairs, and its log.

Knows the directory's layout (docs/decisions/0005-the-run-directory.md); writes nothing there.
"""

from typing import Any

import orjson

from models import Job
from services.settings import get_settings

LOG_TAIL_BYTES = 64 * 1024


def held_out_texts(job: Job) -> dict[int, dict[str, Any]]:
    """Return {line: {prompt, chosen, rejected}} of the held-out rows; none before the split.

    `prompt` is a list of messages, the answers are text.
    """
    path = get_settings().runs_dir / job.id / "data" / "held_out.jsonl"
    if not path.exists():
        return {}
    with path.open("rb") as lines:
        rows = [orjson.loads(line) for line in lines]
    return {
        row["line"]: {
            "prompt": row["prompt"],
            "chosen": _text(row["chosen"]),
            "rejected": _text(row.get("rejected")),
        }
        for row in rows
    }


def _text(messages: list[dict[str, Any]] | None) -> str | None:
    return None if messages is None else "\n\n".join(m["content"] for m in messages)


def log_tail(job: Job, tail_bytes: int = LOG_TAIL_BYTES) -> tuple[str, bool]:
    """Return the end of the training processes' log, and whether there is more before it.

    Of the newest attempt that has one; empty before training begins.
    """
    for generation in range(job.generation, 0, -1):
        path = get_settings().runs_dir / job.id / f"g{generation}" / "train.log"
        if path.exists():
            with path.open("rb") as log:
                size = log.seek(0, 2)
                log.seek(max(0, size - tail_bytes))
                return log.read(tail_bytes).decode(errors="replace"), size > tail_bytes
    return "", False
