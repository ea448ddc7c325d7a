"""Fills each list of the API with objects of the largest size: several pages per list."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import (
    Answer,
    ApiKey,
    AuditEntry,
    Checkpoint,
    Comparison,
    Deployment,
    Job,
    Sample,
    UploadPart,
    Worker,
)
from models.base import new_id
from models.base_models import BaseModelStatus
from models.files import FileStatus
from models.jobs import JobState, Purpose
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.evaluations.evaluations import LONGEST_PROMPT
from services.files import seed, upload_parts, uploads
from services.jobs import claims
from services.platform import storage
from services.platform.settings import get_settings
from services.platform.storable import storable
from services.runs import job_events, metrics
from tests import records

Ids = list[str]

WIDE = "\U0001d54f"  # four bytes as JSON
LONG = storable("x" * 200_000)
MANY = 25  # as many objects with LONG are more than 2 MB
HUGE_ROW, LARGE_ROWS = 5_000_000, [100_000] * 30  # in bytes; a row may be 16 MB


def files(session: Session, mine: Caller) -> Ids:
    error = {"status": FileStatus.ERROR, "status_details": LONG}
    return [records.file(session, mine, **error).id for _ in range(MANY)]


def parts(session: Session, mine: Caller) -> tuple[str, Ids]:
    """An upload with as many parts as one may have."""
    upload = uploads.create(
        session, mine, uploads.Announced("a.jsonl", "fine-tune", upload_parts.MAX_PARTS)
    )
    found = [
        UploadPart(
            id=new_id("part"), upload_id=upload.id, size_bytes=1, sha256="0" * 64,
            storage_key="x", retry_of=new_id("part"),
        )
        for _ in range(upload_parts.MAX_PARTS)
    ]  # fmt: skip
    session.add_all(found)
    return upload.id, [part.id for part in found]


def versions(session: Session, mine: Caller) -> tuple[str, Ids]:
    """Versions of one file, with the largest recipes."""
    parent = records.file(session, mine).id
    recipe = [{"step": "filter", "field": "any", "contains": "x" * 100_000}]
    parents = [{"id": parent, "sha256": "0"}]
    found = (records.file(session, mine, recipe=recipe, parents=parents) for _ in range(MANY))
    return parent, [record.id for record in found]


def rows(session: Session, mine: Caller) -> tuple[str, Ids]:
    """A file with a row that is larger than an answer, and with smaller rows."""
    file = records.file(session, mine, accepted=1 + len(LARGE_ROWS), rows_key=new_id("rows"))
    lines = held_out_lines()
    with storage.writing(file.rows_key or "") as sink:
        sink.write("".join(lines).encode())
    return file.id, [str(line) for line in range(1, 1 + len(lines))]


def dropped(session: Session, mine: Caller) -> tuple[str, Ids]:
    """A file whose findings are longer than an answer; its bytes are in the storage."""
    lines = range(1, 21)
    facts = {"column": None, "code": "not_a_pair", "message": LONG}
    findings = [{"line": line, **facts} for line in lines]
    report = {"rows": 20, "accepted": 0, "dropped": {"not_a_pair": 20}, "findings": findings}
    file = records.file(session, mine, report=report, storage_key=new_id("bytes"))
    with storage.writing(file.storage_key) as sink:
        sink.write(b"{}\n" * len(lines))
    return file.id, [str(line) for line in lines]


def held_out_lines() -> list[str]:
    return [
        json.dumps({"line": line, **pair(size_bytes)}) + "\n"
        for line, size_bytes in enumerate([*LARGE_ROWS[:15], HUGE_ROW, *LARGE_ROWS[15:]], start=1)
    ]


def pair(size_bytes: int) -> dict[str, Any]:
    """A pair of this size. A huge one has a prompt of many short messages and one long answer."""
    question = {"role": "user", "content": "Why?"}
    turns = size_bytes // 100 if size_bytes == HUGE_ROW else 1
    answer = {"role": "assistant", "content": "b" * (size_bytes // 2)}
    return {"prompt": [question] * turns, "chosen": [answer], "rejected": [answer]}


def api_keys(session: Session, mine: Caller) -> Ids:
    keys = [
        ApiKey(
            id=new_id("key"), org_id=mine.org_id, name=WIDE * 100, hint="…", sha256=new_id("h"),
            scopes=["read", "chat", "write", "admin"],
        )
        for _ in range(4000)
    ]  # fmt: skip
    session.add_all(keys)
    return [mine.api_key_id or "", *(key.id for key in keys)]


def entries(session: Session, mine: Caller) -> Ids:
    """Audit entries of base models that were registered from folders with long names."""
    for _ in range(150):
        about = (Action.CREATED, Object.MODEL, "base")
        audit_log.record(session, mine, *about, path=f"/{WIDE * 4095}")
    return list(session.scalars(select(AuditEntry.id)))


def models(session: Session, mine: Caller) -> Ids:
    error = {"status": BaseModelStatus.ERROR, "error": LONG}
    return [records.base_model(session, mine, **error).id for _ in range(MANY)]


def deployments(session: Session, mine: Caller) -> Ids:
    error = {"message": LONG, "code": "internal", "param": None}
    bases = models(session, mine)
    found = [
        Deployment(
            id=new_id("deploy"), org_id=seed.ORG_ID, model=base, base_model=base, status="failed",
            error=error,
        )
        for base in bases
    ]  # fmt: skip
    session.add_all(found)
    return [each.id for each in found]


def events(session: Session, mine: Caller) -> tuple[str, Ids]:
    job = records.job(session, mine)
    for _ in range(MANY):
        job_events.note(session, job, LONG, None)
    session.flush()
    return job.id, [job_events.event_id(e) for e in job_events.since(session, job.id, 0)]


def checkpoints(session: Session, mine: Caller) -> tuple[str, Ids]:
    job = records.job(session, mine)
    found = [
        Checkpoint(
            id=new_id("ftckpt"), job_id=job.id, generation=1, step=step, path="p", kind="adapter",
            sha256="0", size_bytes=1, metrics={"note": LONG}, model=f"ft:{job.id}:{step}",
        )
        for step in range(MANY)
    ]  # fmt: skip
    session.add_all(found)
    return job.id, [each.id for each in found]


def pairs(session: Session, mine: Caller) -> tuple[str, Ids]:
    """Held-out lines with metrics; the texts of some are missing."""
    job = held(session, mine)
    folder = get_settings().runs_dir / job.id / "data"
    folder.mkdir(parents=True)
    lines = held_out_lines()
    (folder / "held_out.jsonl").write_text("".join(lines[:3] + lines[6:]))
    numbers = range(1, 1 + len(lines))
    scores = [{"step": step, "line": line} for line in numbers for step in (0, 4, 9)]
    metrics.write_pairs(session, job.id, 1, scores)
    return job.id, [str(line) for line in numbers]


def deep_audits(session: Session, mine: Caller) -> tuple[str, Ids]:
    file, error = records.file(session, mine).id, {"code": "internal", "message": LONG}
    fields = {"purpose": Purpose.DEEP_AUDIT, "training_file": file, "error": error}
    return file, [records.job(session, mine, **fields).id for _ in range(MANY)]


def judged_pairs(session: Session, mine: Caller) -> tuple[str, Ids]:
    file, lines = records.file(session, mine).id, range(1, 1501)
    judged = [records.JUDGED[0] | {"line": line} for line in lines]
    audit = records.deep_audit(session, mine, file, judged)
    return f"{file}/{audit.id}", [str(line) for line in lines]


def held(session: Session, mine: Caller) -> Job:
    """A claimed job, so that metrics can be written."""
    job = records.job(session, mine, JobState.QUEUED)
    claims.claim_next(session, "w")
    return job


def samples(session: Session, mine: Caller) -> tuple[str, Ids]:
    job = records.job(session, mine)
    texts = {"prompt": [{"role": "user", "content": "Why?"}], "chosen": LONG, "rejected": None}
    places = [(step, line) for step in range(7) for line in range(4)]
    for step, line in places:
        session.add(
            Sample(job_id=job.id, step=step, line=line, generation=1, answer="Yes.", **texts)
        )
    return job.id, [f"{step}:{line}" for step, line in places]


def series(session: Session, mine: Caller) -> tuple[str, Ids]:
    job = held(session, mine)
    names = [f"name/{n}" for n in range(12)]
    values = dict.fromkeys(names, -1.2345678901234567e-300)
    lines = [{"step": s, "t": 0.0, "split": "train", "values": values} for s in range(2000)]
    metrics.write(session, job.id, 1, lines)
    return job.id, sorted(f"train:{name}" for name in names)


def votes(session: Session, mine: Caller) -> Ids:
    """Comparisons with votes; one alone is larger than an answer of the API."""
    found = [_voted(mine, 400_000), *(_voted(mine, 30_000) for _ in range(MANY))]
    session.add_all(found)
    return [each.id for each in found]


def _voted(mine: Caller, characters: int) -> Comparison:
    asked = {"messages": [{"role": "user", "content": "p" * characters}]}
    sides = [
        {
            "side": n, "model": "m", "base_model": "m", "deployment_id": "d", "adapter": False,
            "checkpoint_step": None, "weights_sha256": None, "device": "cpu", "asked": asked,
            "text": "a" * characters,
        }
        for n in range(2)
    ]  # fmt: skip
    return Comparison(
        id=new_id("cmp"), org_id=mine.org_id, sides=sides, choice="a",
        ended_at=func.clock_timestamp(), voted_at=func.clock_timestamp(),
    )  # fmt: skip


def evaluations(session: Session, mine: Caller) -> Ids:
    """Evaluations with the longest prompt of a judge."""
    options = {"judge_prompt": "x" * LONGEST_PROMPT}
    return [records.evaluation(session, mine, options=options).id for _ in range(MANY)]


def evaluation_items(session: Session, mine: Caller) -> tuple[str, Ids]:
    """Items with long prompts and the same long answer."""
    session.add(Answer(org_id=mine.org_id, key="long", text=LONG, finish_reason="length"))
    evaluation = records.evaluation(session, mine).id
    for place in range(MANY):
        records.item(session, evaluation, place, answers=["long"], failures={"judge": LONG})
    return evaluation, [str(place) for place in range(MANY)]


def evaluation_events(session: Session, mine: Caller) -> tuple[str, Ids]:
    job = session.get_one(Job, records.evaluation(session, mine).id)
    for _ in range(MANY):
        job_events.note(session, job, LONG, None)
    session.flush()
    return job.id, [job_events.event_id(e) for e in job_events.since(session, job.id, 0)]


def judges(session: Session, mine: Caller) -> Ids:
    """Judges with the longest name and address, and with all kinds of labels."""
    share = {"value": 0.123456789012345, "low": 0.1, "high": 0.2, "n": 1000}
    measured = {"average": share, "both": share, "equal": share, "decided": share}
    fields = {
        "name": WIDE * 200, "base_url": f"https://{'h' * 1990}", "secret": WIDE * 200,
        "agreement": dict.fromkeys(("llmbar", "pandalm", "votes"), measured),
    }  # fmt: skip
    return [records.judge(session, mine, **fields).id for _ in range(500)]


def webhooks(session: Session, mine: Caller) -> Ids:
    """More than an organisation may add, with the longest name and address."""
    fields = {"name": WIDE * 200, "url": f"https://{'h' * 1992}"}
    return [records.webhook(session, mine, **fields).id for _ in range(150)]


def webhook_deliveries(session: Session, mine: Caller) -> tuple[str, Ids]:
    webhook_id = records.webhook(session, mine).id
    fields = {"last_error": WIDE * 500}
    found = [records.webhook_delivery(session, webhook_id, **fields).id for _ in range(1100)]
    return webhook_id, found


def workers(session: Session, _: Caller) -> Ids:
    gpus = [{"index": n, "name": "NVIDIA H200", "memory_bytes": 2**37} for n in range(16)]
    found = [
        Worker(
            id=f"host-{n:04}:1", host=f"host-{n}", cores=256, devices=gpus, spec_version=2,
            seen_at=func.clock_timestamp(),
        )
        for n in range(1800)
    ]  # fmt: skip
    session.add_all(found)
    return [each.id for each in found]


FILLED: dict[str, Callable[[Session, Caller], Ids | tuple[str, Ids]]] = {
    "/v1/api_keys": api_keys,
    "/v1/audit_log": entries,
    "/v1/deployments": deployments,
    "/v1/evaluations": evaluations,
    "/v1/evaluations/{evaluation_id}/events": evaluation_events,
    "/v1/evaluations/{evaluation_id}/items": evaluation_items,
    "/v1/files": files,
    "/v1/files/{file_id}/deep_audits": deep_audits,
    "/v1/files/{file_id}/deep_audits/{audit_id}/pairs": judged_pairs,
    "/v1/files/{file_id}/dropped": dropped,
    "/v1/files/{file_id}/rows": rows,
    "/v1/files/{file_id}/versions": versions,
    "/v1/fine_tuning/jobs/{job_id}/checkpoints": checkpoints,
    "/v1/fine_tuning/jobs/{job_id}/events": events,
    "/v1/fine_tuning/jobs/{job_id}/pairs": pairs,
    "/v1/fine_tuning/jobs/{job_id}/samples": samples,
    "/v1/fine_tuning/jobs/{job_id}/series": series,
    "/v1/judges": judges,
    "/v1/models": models,
    "/v1/uploads/{upload_id}/parts": parts,
    "/v1/votes": votes,
    "/v1/webhooks": webhooks,
    "/v1/webhooks/{webhook_id}/deliveries": webhook_deliveries,
    "/v1/workers": workers,
}
