"""Comparisons: models asked side by side, and what they answered. Votes are in `services/votes`.

The process that streams the answers writes them at the end. Requests to stop and votes may come
from any process, so they change other columns. Knows no HTTP and no engine's address.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import Checkpoint, Comparison, Deployment, Engine
from models.base import new_id
from models.checkpoints import WeightsKind
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs import jobs
from services.platform.errors import NotFound, TooLarge, no_such
from services.platform.sizes import ANSWER_BYTES, size_bytes
from services.serving.deployments import Route

Side = dict[str, Any]

# Each holds whole conversations.
AT_ONCE = 10
# Of all sides together, as JSON: two models may be asked some 100,000 tokens each.
ASKED_BYTES = ANSWER_BYTES


def begin(
    session: Session,
    caller: Caller,
    routes: Sequence[Route],
    asked: Sequence[Side],
    held_out: dict[str, Any] | None,
    param: str = "messages",
) -> Comparison:
    """Store what each model is asked, before any answer; `asked` holds each side's request.

    Raises NotFound if `held_out` names a job that the caller doesn't have, and TooLarge, with the
    field `param`, if the requests are larger than ASKED_BYTES.
    """
    if size_bytes(asked) > ASKED_BYTES:
        raise TooLarge(
            f"A comparison stores what each of its models is asked, at most {ASKED_BYTES} bytes "
            "together. Shorten the messages, or compare fewer models.",
            param=param,
        )
    if held_out is not None:
        jobs.get(session, caller, held_out["job_id"])
    comparison = Comparison(
        id=new_id("cmp"),
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        sides=[
            {"side": number, **_attest(session, route), "asked": request}
            for number, (route, request) in enumerate(zip(routes, asked, strict=True))
        ],
        held_out=held_out,
    )
    session.add(comparison)
    session.flush()
    return comparison


def _attest(session: Session, route: Route) -> Side:
    """Return the facts on a route's model, from the rows that its deployment was certified by."""
    deployment, checkpoint, engine = session.execute(
        select(Deployment, Checkpoint, Engine)
        .outerjoin(Checkpoint, Checkpoint.id == Deployment.checkpoint_id)
        .outerjoin(Engine, Engine.id == Deployment.engine_id)
        .where(Deployment.id == route.deployment_id)
    ).one()
    is_adapter = checkpoint is not None and checkpoint.kind == WeightsKind.ADAPTER
    return {
        "model": route.model,
        "base_model": deployment.base_model,
        "deployment_id": deployment.id,
        "adapter": is_adapter,
        "checkpoint_step": checkpoint.step if checkpoint else None,
        "weights_sha256": (deployment.parity or {}).get("weights_sha256"),
        "device": engine.device if engine else None,
    }


def finish(session: Session, comparison_id: str, answers: dict[int, Side]) -> None:
    """Add each side's answer: text, how it ended, its usage and pace, or its error.

    Nothing is stored if the comparison was deleted meanwhile.
    """
    comparison = session.get(Comparison, comparison_id)
    if comparison is None:
        return
    comparison.sides = [side | answers.get(side["side"], {}) for side in comparison.sides]
    comparison.ended_at = func.clock_timestamp()


def get(session: Session, caller: Caller, comparison_id: str) -> Comparison:
    """Return the caller's comparison, or raise NotFound. A rater has only its own cards."""
    comparison = session.get(Comparison, comparison_id)
    theirs = comparison is None or comparison.org_id != caller.org_id
    if comparison is None or theirs or (caller.is_rater and not _is_card_of(caller, comparison)):
        raise no_such("comparison", comparison_id, "comparison_id")
    return comparison


def _is_card_of(rater: Caller, comparison: Comparison) -> bool:
    return (
        comparison.evaluation_id == rater.evaluation_id
        and comparison.api_key_id == rater.api_key_id
    )


def stop(session: Session, caller: Caller, comparison_id: str, side: int) -> Comparison:
    """Ask for one side's answer to end where it is. Raises NotFound for a side that isn't there."""
    comparison = get(session, caller, comparison_id)
    if side >= len(comparison.sides):
        raise NotFound(f"The comparison has no side {side}.", param="side")
    # In one statement, because the other side may be asked to stop at the same moment.
    session.execute(
        update(Comparison)
        .where(Comparison.id == comparison_id)
        .values(stopping=Comparison.stopping.concat([side]))
    )
    session.refresh(comparison)
    return comparison


def stopping(session: Session, comparison_id: str) -> set[int]:
    """Return the sides that were asked to end."""
    found = session.scalar(select(Comparison.stopping).where(Comparison.id == comparison_id))
    return set(found or [])


def delete(session: Session, caller: Caller, comparison_id: str) -> None:
    """Delete a comparison with its texts and its vote. Answers that still come are not stored."""
    session.delete(get(session, caller, comparison_id))
    audit_log.record(session, caller, Action.DELETED, Object.COMPARISON, comparison_id)
    session.flush()


def older_than(days: float) -> Any:
    """Whether a comparison was made more than `days` ago."""
    return Comparison.created_at < func.clock_timestamp() - timedelta(days=days)


def forget_old(session: Session, days: float) -> int:
    """Delete the comparisons that were made more than `days` ago, and return how many."""
    old = older_than(days)
    counts = session.execute(
        select(Comparison.org_id, func.count()).where(old).group_by(Comparison.org_id)
    ).all()
    session.execute(delete_rows(Comparison).where(old))
    for org_id, count in counts:
        audit_log.note(
            session, org_id, None, Action.PRUNED, Object.COMPARISON, "*", count=count, days=days
        )
    return sum(count for _, count in counts)
