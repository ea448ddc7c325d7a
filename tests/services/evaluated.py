"""Records and requests of evaluations for tests: deployed models and files of prompts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Deployment, Engine, EvaluationItem, File
from models.base import new_id
from models.deployments import DeploymentStatus
from models.files import FileStatus
from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations import evaluations
from services.evaluations.evaluations import EvaluationJob, NewEvaluation
from services.platform import storage
from services.serving.engines import EngineStatus
from tests import records

RENDERS = {"tools": False, "reasoning": False, "enable_thinking": False, "tool_parser": None}
NO_COMMA = "punctuation:no_comma"


def certificate(weights: str) -> dict[str, Any]:
    """What a deployment was certified with."""
    return {
        "token_ids_equal": True, "max_logprob_diff": 0.0, "mean_logprob_diff": 0.0,
        "equal_to_base": False, "renders": RENDERS, "weights_sha256": weights,
        "base_sha256": None, "template_sha256": "t", "engine": "vLLM 0, float32, cpu",
    }  # fmt: skip


def deployed(
    session: Session, owner: Caller, name: str, socket: Path, weights: str | None = None
) -> Deployment:
    """A base model that an engine behind this socket serves."""
    info = {"special_tokens": ["<|im_end|>"]}
    base = session.get(BaseModelRecord, name)
    if base is None:
        base = records.base_model(session, owner, id=name, info=info)
    engine = Engine(
        id=new_id("engine"), weights=new_id("w"), served_name=name, worker="w", host=str(socket),
        status=EngineStatus.READY, port=0, device="cpu",
    )  # fmt: skip
    session.add(engine)
    session.flush()
    deployment = Deployment(
        id=new_id("deploy"), org_id=owner.org_id, api_key_id=owner.api_key_id, model=name,
        base_model=name, desired="run", status=DeploymentStatus.READY, engine_id=engine.id,
        parity=certificate(weights or f"of {name}"),
    )  # fmt: skip
    session.add(deployment)
    session.flush()
    return deployment


def prompt_file(session: Session, owner: Caller, rows: Sequence[dict[str, Any]]) -> File:
    """A validated file of prompts. A row has `turns` of texts, and what the suite needs."""
    file = records.file(
        session, owner, accepted=len(rows), purpose="evals", status=FileStatus.PROCESSED,
        rows_key=new_id("rows"), sha256=new_id("sha"),
    )  # fmt: skip
    suites = ["ifeval", "custom", "reward", "alpaca_eval", "mt_bench"]
    report = {"rows": len(rows), "accepted": len(rows), "dropped": {}}
    file.report = {**report, "prompts": {"suites": suites, "unfit": {}, "repeated": 0}}
    with storage.writing(str(file.rows_key)) as sink:
        for line, row in enumerate(rows, 1):
            turns = [[{"role": "user", "content": text}] for text in row["turns"]]
            normal = {
                "line": line,
                "prompt": turns[0],
                "turns": turns,
                "category": row.get("category"),
                "row": row,
            }
            sink.write(json.dumps(normal).encode() + b"\n")
    session.flush()
    return file


def ifeval_rows(count: int) -> list[dict[str, Any]]:
    """Prompts that each ask for an answer without a comma."""
    return [
        {
            "turns": [f"Prompt {number}"],
            "key": number,
            "instruction_id_list": [NO_COMMA],
            "kwargs": [{}],
        }
        for number in range(count)
    ]


def ifeval(
    session: Session, owner: Caller, file: File, model: str = "tuned", **fields: Any
) -> EvaluationJob:
    """A new evaluation of the suite `ifeval`."""
    request = NewEvaluation(model=model, suite="ifeval", data=file.id, **fields)
    return evaluations.create(session, owner, request)


def items(session: Session, evaluation_id: str) -> list[EvaluationItem]:
    """All items in their order."""
    found = session.query(EvaluationItem).filter_by(evaluation_id=evaluation_id)
    return list(found.order_by(EvaluationItem.place))


def reward_model(session: Session, owner: Caller) -> str:
    """The name of a model that a job of the method `reward` has left."""
    job = records.job(session, owner, JobState.QUEUED, method={"type": "reward", "tuning": "lora"})
    name = f"ft:{job.id}"
    session.add(
        Checkpoint(
            id=new_id("ftckpt"), job_id=job.id, generation=1, step=1, path=f"{job.id}/g1/c",
            kind="adapter", sha256="of the reward model", size_bytes=1, metrics={}, model=name,
        )
    )  # fmt: skip
    session.flush()
    return name
