"""Sizes of a file's pairs for a base model, which the core counts on a sample in a process of its
own.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import File, Job
from models.jobs import Purpose
from orpo.contract.held_out import draw
from services.access.callers import Caller
from services.files import files, rows
from services.processes.reach import Reach, model
from services.processes.verbs import refused, run_verb

SAMPLE, SAMPLE_BYTES, SEED = 2_000, 2**26, 0
COUNT_S = 120


def speed(session: Session, caller: Caller, base_model: str) -> dict[str, Any] | None:
    """The newest measurement of a job's speed with this base: the estimate's id, `tokens_per_s`
    and the `device`; None if none was made.
    """
    measured = session.execute(
        select(Job.id, Job.estimate)
        .where(
            Job.org_id == caller.org_id,
            Job.base_model == base_model,
            Job.purpose == Purpose.ESTIMATE,
            Job.estimate.is_not(None),
            Job.deleted_at.is_(None),
        )
        .order_by(Job.created_at.desc())
        .limit(1)
    ).first()
    estimate_id, found = measured or (None, None)
    if found is None:
        return None
    return {
        "estimate": estimate_id,
        "tokens_per_s": found["tokens_per_s"],
        "device": found["device"]["name"],
    }


def count(record: File, base: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what `orpo.tokens.statistics.statistics` returns for a sample of the accepted rows.

    `settings` are hyperparameters. The sample is drawn by a fixed seed: at most 2,000 rows and
    64 MiB. Starts a process, which takes seconds: call it outside a transaction. Raises Invalid if
    the base model's tokenizer can't be used.
    """
    files.rows_key_of(record)
    accepted = (record.report or {}).get("accepted", 0)
    with TemporaryDirectory() as folder:
        request, sample = Path(folder, "request.json"), Path(folder, "sample.jsonl")
        _write_sample(record, accepted, sample)
        request.write_text(json.dumps({"rows": accepted, "method": settings}))
        reach = Reach(reads=(*model(base), request, sample))
        arguments = (str(base), str(request), str(sample))
        with refused("The tokens can't be counted", param="model"):
            return run_verb("statistics", *arguments, timeout_s=COUNT_S, reach=reach)


def _write_sample(record: File, accepted: int, path: Path) -> None:
    written = 0
    with rows.opened(record) as lines, path.open("wb") as sample:
        for place in sorted(draw(accepted, SAMPLE, SEED)):
            line = lines.at(place)
            written += len(line)
            if written > SAMPLE_BYTES:
                return
            sample.write(line)
