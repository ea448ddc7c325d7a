"""Minimal valid records for tests."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func
from sqlalchemy.orm import Session

from models import (
    ApiKey,
    BaseModelRecord,
    Evaluation,
    EvaluationItem,
    File,
    Job,
    Judge,
    Organization,
    Webhook,
    WebhookDelivery,
)
from models.base import new_id
from models.files import FileStatus
from models.jobs import JobState, Purpose
from orpo.audit import found
from orpo.audit.found import Named
from orpo.contract import rundir
from orpo.contract.deep_audit import FINDINGS
from orpo.contract.methods import parse_method
from services.access.callers import Caller, Scope
from services.platform.settings import get_settings
from services.runs import deep_audits

SCOPES = frozenset(Scope)


def caller(session: Session, name: str = "default") -> Caller:
    """A new organisation with one key."""
    org = Organization(id=new_id("org"), name=name)
    session.add(org)
    session.flush()
    key = ApiKey(
        id=new_id("key"), org_id=org.id, name="test", hint="…", sha256=new_id("h"),
        scopes=sorted(SCOPES),
    )  # fmt: skip
    session.add(key)
    session.flush()
    return Caller(org_id=org.id, api_key_id=key.id, scopes=SCOPES)


def base_model(session: Session, owner: Caller, **fields: Any) -> BaseModelRecord:
    values = {"id": new_id("base"), "path": "/nowhere", "info": {}, "org_id": owner.org_id}
    record = BaseModelRecord(**(values | fields))
    session.add(record)
    session.flush()
    return record


def file(session: Session, owner: Caller, accepted: int = 8, **fields: Any) -> File:
    report = {"rows": accepted, "accepted": accepted, "dropped": {}, "shapes": {"explicit": 8}}
    values = {
        "id": new_id("file"), "org_id": owner.org_id, "api_key_id": owner.api_key_id,
        "filename": "pairs.jsonl", "purpose": "fine-tune", "size_bytes": 1, "sha256": "0",
        "storage_key": "x", "rows_key": "x.rows", "status": FileStatus.PROCESSED,
        "report": report,
    }  # fmt: skip
    record = File(**(values | fields))
    session.add(record)
    session.flush()
    return record


def job(session: Session, owner: Caller, state: JobState | None = None, **fields: Any) -> Job:
    """A job that was just created, or that went directly to `queued`."""
    values = {
        "id": new_id("ftjob"), "org_id": owner.org_id, "api_key_id": owner.api_key_id,
        "base_model": base_model(session, owner).id,
        "training_file": file(session, owner).id,
        "method": parse_method("orpo", {}).model_dump(mode="json"),
        "seed": 0, "metadata_": {}, "request_sha256": "0",
    }  # fmt: skip
    record = Job(**(values | fields))
    session.add(record)
    session.flush()
    if state is JobState.QUEUED:
        record.state = state
        session.flush()
    return record


AUDITED = {
    "pairs": 2, "likely_swapped": 1, "unclear": 0, "supported": 1, "tokens": 40,
    "lines": {"likely_swapped": [2], "unclear": []},
    "noise_share": {"share": 0.5, "low": 0.0, "high": 1.0},
    "accuracy": {"share": 0.5, "low": 0.1, "high": 0.9}, "base_accuracy": 0.5,
}  # fmt: skip
JUDGED = [
    {
        "rank": rank, "line": line, "place": line - 1, "score": score, "base_log_odds": 0.1,
        "judged_log_odds": -1.0, "opinion": opinion,
    }
    for rank, line, score, opinion in ((1, 2, 0.9, "likely_swapped"), (2, 1, 0.1, "supported"))
]  # fmt: skip


def write_judged(run_dir: Path, judged: list[dict[str, Any]] = JUDGED) -> None:
    """Write the rows of the findings of a deep audit, as the core does."""
    places = {
        str(code): sorted(pair["place"] for pair in judged if pair["opinion"] == code)
        for code in FINDINGS
    }
    of_code = {code: Named(np.array(each, np.uint32)) for code, each in places.items()}
    found.write(run_dir / rundir.DEEP_AUDIT_FOUND, of_code)


def deep_audit(
    session: Session, owner: Caller, file_id: str, judged: list[dict[str, Any]] = JUDGED
) -> Job:
    """A deep audit of a file that has succeeded."""
    audit = job(session, owner, JobState.QUEUED, purpose=Purpose.DEEP_AUDIT, training_file=file_id)
    audit.generation = 1
    audit.lease_until = func.clock_timestamp() + timedelta(minutes=1)
    for state in (JobState.CLAIMED, JobState.RUNNING, JobState.FINALIZING):
        audit.state = state
        session.flush()
    run_dir = rundir.generation(get_settings().runs_dir / audit.id, 1)
    run_dir.mkdir(parents=True)
    lines = "".join(f"{json.dumps(pair)}\n" for pair in judged)
    (run_dir / rundir.DEEP_AUDIT_PAIRS).write_text(lines)
    write_judged(run_dir, judged)
    deep_audits.register(session, audit.id, 1, run_dir, AUDITED)
    return audit


def judge(session: Session, owner: Caller, **fields: Any) -> Judge:
    """A judge at an endpoint of another service."""
    values = {
        "id": new_id("judge"), "org_id": owner.org_id, "name": "judge", "kind": "openai",
        "model": "gpt", "base_url": "https://judge.example.com/v1", "secret": None, "sampling": {},
    }  # fmt: skip
    record = Judge(**(values | fields))
    session.add(record)
    session.flush()
    return record


def evaluation(
    session: Session, owner: Caller, state: JobState = JobState.QUEUED, **fields: Any
) -> Evaluation:
    """An evaluation that has gone to `state` without an error; `fields` are its own row's."""
    made = job(
        session, owner, JobState.QUEUED, id=new_id("eval"), purpose=Purpose.EVALUATION,
        method={"type": "evaluation"},
    )  # fmt: skip
    values = {
        "id": made.id, "suite": "ifeval", "data_sha256": "0", "target": {"model": made.base_model},
        "sampling": {}, "options": {}, "counts": {}, "scores": [], "details": {},
    }  # fmt: skip
    record = Evaluation(**(values | fields))
    session.add(record)
    for following in (JobState.CLAIMED, JobState.RUNNING, JobState.FINALIZING, JobState.SUCCEEDED):
        if made.state == state:
            break
        made.generation = 1
        made.state = following
        session.flush()
    session.flush()
    return record


def item(session: Session, evaluation_id: str, place: int, **fields: Any) -> EvaluationItem:
    """A prompt of an evaluation."""
    asked = [[{"role": "user", "content": f"Prompt {place}?"}]]
    values = {
        "evaluation_id": evaluation_id, "place": place, "line": place + 1, "turns": asked,
        "reference": {}, "answers": [], "baseline_answers": [], "judgments": [],
    }  # fmt: skip
    record = EvaluationItem(**(values | fields))
    session.add(record)
    session.flush()
    return record


def saved(step: int, sha256: str = "0") -> dict[str, Any]:
    """The data of the core's event `checkpoint`."""
    return {
        "step": step, "path": f"checkpoints/step-{step}", "sha256": sha256, "size_bytes": 1,
        "metrics": {"train": {"loss": 1.0}, "held_out": {"accuracy": 0.5, "loss": 2.0}},
    }  # fmt: skip


def webhook(session: Session, owner: Caller, **fields: Any) -> Webhook:
    values = {
        "id": new_id("whe"), "org_id": owner.org_id, "name": "n", "url": "http://127.0.0.1:9/",
        "event_types": ["fine_tuning.job.failed"], "secret_sha256": "0", "secret_hint": "whsec_…",
    }  # fmt: skip
    record = Webhook(**(values | fields))
    session.add(record)
    session.flush()
    return record


def webhook_delivery(session: Session, webhook_id: str, **fields: Any) -> WebhookDelivery:
    """A delivery that was given up."""
    values = {
        "id": new_id("whdel"), "webhook_id": webhook_id, "event_id": new_id("evt"),
        "event_type": "fine_tuning.job.failed", "object_id": "ftjob-0", "status": "failed",
    }  # fmt: skip
    record = WebhookDelivery(**(values | fields))
    session.add(record)
    session.flush()
    return record
