"""Integrations of a job: the trackers of experiments that its numbers are mirrored to.

A job's request names them; `services/runs/mirrors.py` and `workers/trackers/` do the copying.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Mirror
from services.platform.errors import Invalid

MOST = 3


class Tracker(StrEnum):
    """Types of integrations. OpenAI knows the first."""

    WANDB = "wandb"
    MLFLOW = "mlflow"
    TENSORBOARD = "tensorboard"


# The module that writes to each, and what the extra of our package is called.
MODULES = {Tracker.WANDB: "wandb", Tracker.MLFLOW: "mlflow", Tracker.TENSORBOARD: "tensorboardX"}


def check(integrations: Sequence[dict[str, Any]]) -> None:
    """Raise Invalid, with the field, if what writes to a tracker is not installed."""
    for place, each in enumerate(integrations):
        tracker = Tracker(each["type"])
        if find_spec(MODULES[tracker]) is None:
            raise Invalid(
                f"This installation can't write to {tracker}: the operator must install "
                f"`oddsmith[{tracker}]` where the API and the files worker run.",
                param=f"integrations.{place}.type",
                code="tracker_not_installed",
            )


def add(session: Session, job_id: str, integrations: Sequence[dict[str, Any]]) -> None:
    """Add the mirrors of a new job. Each is due at once, and waits for the job's first numbers."""
    session.add_all(
        Mirror(
            job_id=job_id,
            place=place,
            type=each["type"],
            settings=each.get(each["type"]) or {},
            next_at=func.clock_timestamp(),
        )
        for place, each in enumerate(integrations)
    )


def of_jobs(session: Session, job_ids: Iterable[str]) -> dict[str, list[Mirror]]:
    """Return the mirrors of some jobs, in the order of each job's integrations."""
    found: dict[str, list[Mirror]] = {}
    query = select(Mirror).where(Mirror.job_id.in_(list(job_ids)))
    for mirror in session.scalars(query.order_by(Mirror.job_id, Mirror.place)):
        found.setdefault(mirror.job_id, []).append(mirror)
    return found
