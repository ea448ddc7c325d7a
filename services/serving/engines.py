"""Engines and what they should serve, as rows. Each function is one step of the serve worker,
in the worker's transaction. Knows no process and no HTTP.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Deployment, Engine, Job
from models.checkpoints import WeightsKind
from models.deployments import DeploymentStatus
from models.jobs import HELD, TRAINED
from orpo.contract.rundir import ADAPTER, MODEL
from orpo.contract.special import SpecialTokens
from services.platform.settings import get_settings
from services.platform.storable import storable
from services.runs import checkpoints
from services.serving.weights import merged_folder

# Crashes that count together: an engine that fails this often in this time is given up.
MAX_CRASHES = 3
CRASH_WINDOW = timedelta(minutes=10)
# The pause after the first crash; it doubles with each.
FIRST_PAUSE = timedelta(seconds=2)


@dataclass(frozen=True)
class Address:
    """Where an engine answers, and the key that it requires. `socket` is a Unix socket's path."""

    url: str
    socket: str | None = None
    key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"} if self.key else {}


def address(engine: Engine) -> Address:
    """Return where `engine` answers."""
    if engine.port == 0:
        return Address("http://engine", socket=engine.host)
    return Address(f"http://{engine.host}:{engine.port}", key=key(engine.id))


def key(engine_id: str) -> str | None:
    """Return the key of an engine that listens on a network; None where no secret is set.

    Made from one secret that the API and the workers have as a file: the database holds no keys.
    """
    secret = get_settings().engine_secret
    return hmac.new(secret.encode(), engine_id.encode(), "sha256").hexdigest() if secret else None


class EngineStatus(StrEnum):
    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    FAILED = "failed"


LIVE = (EngineStatus.STARTING, EngineStatus.READY)


@dataclass(frozen=True)
class Wanted:
    """A deployment that should run, and the folders its weights lie in."""

    deployment: Deployment
    # What its engine loads: a base, or whole weights of its own.
    weights: str
    # The checkpoint's folder; None for a base model itself.
    checkpoint: Path | None
    adapter: Path | None
    # The checkpoint that `weights` are merged from before an engine can load them.
    unmerged: Checkpoint | None = None
    # The sha256 of the base's weights when it was registered; None if it is not known.
    base_sha256: str | None = None
    # How its chats treat special strings, and the special strings of the base; None: not known yet.
    rule: SpecialTokens = SpecialTokens.REFUSE
    special_strings: tuple[str, ...] | None = None
    # The default chat template, where `weights` are a base without one of its own.
    template: str | None = None

    @property
    def is_base(self) -> bool:
        return self.checkpoint is None

    @property
    def is_full(self) -> bool:
        """Whether it was tuned in full or merged: it then has its own weights and engine."""
        return self.checkpoint is not None and self.adapter is None


@dataclass(frozen=True)
class Crashes:
    """How often the engine of some weights crashed recently, and when the pause after it ends."""

    count: int
    retry_at: datetime | None
    now: datetime
    error: str | None

    @property
    def is_final(self) -> bool:
        return self.count >= MAX_CRASHES

    @property
    def must_wait(self) -> bool:
        return self.retry_at is not None and self.now < self.retry_at


def gives_way() -> Any:
    """Whether a deployment must free its device now: it has `yields`, and a job is held that needs
    devices. An evaluation needs deployments instead.
    """
    needs_devices = (Job.state.in_(HELD), Job.purpose.in_(TRAINED))
    return Deployment.yields & select(Job.id).where(*needs_devices).exists()


def room_is_made(session: Session) -> bool:
    """Whether no engine is left of deployments that make room for jobs."""
    there = (DeploymentStatus.STARTING, DeploymentStatus.READY)
    left = select(Deployment.id).where(
        Deployment.yields, Deployment.desired == "run", Deployment.status.in_(there)
    )
    return session.scalar(left.limit(1)) is None


def wanted(session: Session) -> list[Wanted]:
    """Return every deployment that should run now and hasn't failed, the oldest first."""
    rows = session.execute(
        select(Deployment, BaseModelRecord, Checkpoint, Job.method)
        .join(BaseModelRecord, BaseModelRecord.id == Deployment.base_model)
        .outerjoin(Checkpoint, Checkpoint.id == Deployment.checkpoint_id)
        .outerjoin(Job, Job.id == Checkpoint.job_id)
        .where(Deployment.desired == "run", Deployment.status != DeploymentStatus.FAILED)
        .where(~gives_way())
        .order_by(Deployment.created_at)
    )
    return [_wanted(*row) for row in rows]


def _wanted(
    deployment: Deployment,
    base: BaseModelRecord,
    checkpoint: Checkpoint | None,
    method: dict[str, Any] | None,
) -> Wanted:
    rule, strings = special_rule(method), special_strings(base.info)
    known, template = base.info.get("sha256"), base.info.get("default_template")
    if checkpoint is None:
        return Wanted(deployment, base.path, None, None, None, known, rule, strings, template)
    folder = checkpoints.folder(checkpoint)
    if checkpoint.kind == WeightsKind.ADAPTER:
        adapter = folder / ADAPTER
        return Wanted(deployment, base.path, folder, adapter, None, known, rule, strings, template)
    if checkpoint.kind == WeightsKind.MERGED:
        whole = str(merged_folder(checkpoint))
        return Wanted(deployment, whole, folder, None, checkpoint, None, rule, strings)
    return Wanted(deployment, str(folder / MODEL), folder, None, None, None, rule, strings)


def adapter_name(deployment: Deployment) -> str:
    """The name of a deployment's adapter in its engine."""
    return deployment.id


def name_in(engine: Engine, deployment: Deployment, *, is_adapter: bool) -> str:
    """The name of a deployment in its engine; whole weights have the engine's own."""
    return adapter_name(deployment) if is_adapter else engine.served_name


def special_rule(method: dict[str, Any] | None) -> SpecialTokens:
    """Return the rule of a job's method for special strings; without a method, REFUSE."""
    return SpecialTokens((method or {}).get("special_tokens", SpecialTokens.REFUSE))


def special_strings(info: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the special strings of a base; None where it was registered before they were noted."""
    return tuple(info["special_tokens"]) if "special_tokens" in info else None


def note_special_strings(session: Session, base_model: str, strings: Sequence[str]) -> None:
    """Note the special strings of a base that was registered before they were noted."""
    record = session.get_one(BaseModelRecord, base_model, with_for_update=True)
    record.info = record.info | {"special_tokens": list(strings)}


def unwanted(session: Session) -> list[Deployment]:
    """Return deployments that should stop and are not marked as stopped yet."""
    gone = (DeploymentStatus.STOPPED, DeploymentStatus.FAILED)
    query = select(Deployment).where(Deployment.desired == "stop", Deployment.status.not_in(gone))
    return list(session.scalars(query))


def live(session: Session) -> list[Engine]:
    """Return the engines that are starting or ready."""
    return list(session.scalars(select(Engine).where(Engine.status.in_(LIVE))))


def is_in_the_way(session: Session, engine: Engine) -> bool:
    """Whether a job waits for the room of an engine that no deployment wants now."""
    served = select(Deployment.id).where(
        Deployment.engine_id == engine.id, Deployment.desired == "run", gives_way()
    )
    return session.scalar(served.limit(1)) is not None


def idle_s(session: Session, engine: Engine) -> float:
    """Return for how long no deployment has wanted this engine."""
    last = select(func.max(Deployment.updated_at)).where(Deployment.engine_id == engine.id)
    return _seconds_since(session, session.scalar(last) or engine.created_at)


def age_s(session: Session, engine: Engine) -> float:
    """Return how long ago the engine was started."""
    return _seconds_since(session, engine.created_at)


def silent_s(session: Session, engine: Engine) -> float:
    """Return how long ago the engine answered last."""
    return _seconds_since(session, engine.seen_at or engine.created_at)


def _seconds_since(session: Session, then: datetime) -> float:
    """By the database's clock, the only one that counts."""
    return (session.scalars(select(func.clock_timestamp())).one() - then).total_seconds()


def add(session: Session, wanted_here: Sequence[Wanted], **fields: Any) -> Engine:
    """Record an engine that is about to start for `wanted_here`, and set these to starting."""
    engine = Engine(
        weights=wanted_here[0].weights,
        status=EngineStatus.STARTING,
        **fields,
    )
    session.add(engine)
    session.flush()
    for want in wanted_here:
        set_status(session, want.deployment.id, DeploymentStatus.STARTING, engine_id=engine.id)
    return engine


def set_process(session: Session, engine_id: str, pid: int, pid_started: int) -> None:
    """Record the process of an engine, so that a later worker finds it again."""
    engine = session.get_one(Engine, engine_id)
    engine.pid, engine.pid_started = pid, pid_started


def seen(session: Session, engine_id: str) -> None:
    """Record that the engine answered just now; the first time makes it ready."""
    engine = session.get_one(Engine, engine_id)
    engine.seen_at = func.clock_timestamp()
    if engine.status == EngineStatus.STARTING:
        engine.status = EngineStatus.READY
        engine.ready_at = func.clock_timestamp()


def looked_at(session: Session, engine_id: str) -> None:
    """Record that a starting engine was checked, so that no worker is woken to check it again."""
    session.get_one(Engine, engine_id).seen_at = func.clock_timestamp()


def end(session: Session, engine_id: str, status: EngineStatus, error: str | None = None) -> None:
    """Record that an engine has ended; its deployments wait for the next engine."""
    engine = session.get_one(Engine, engine_id)
    engine.status = status
    engine.error = storable(error)
    engine.stopped_at = func.clock_timestamp()
    session.execute(
        update(Deployment)
        .where(Deployment.engine_id == engine_id, Deployment.desired == "run")
        .where(Deployment.status.in_((DeploymentStatus.STARTING, DeploymentStatus.READY)))
        .values(status=DeploymentStatus.PENDING, engine_id=None)
    )


def crashes(session: Session, weights: str, since: datetime) -> Crashes:
    """Count the crashes of the engines of `weights` after `since` and within the window."""
    now = session.scalars(select(func.clock_timestamp())).one()
    failed = session.scalars(
        select(Engine)
        .where(
            Engine.weights == weights,
            Engine.status == EngineStatus.FAILED,
            Engine.stopped_at > max(since, now - CRASH_WINDOW),
        )
        .order_by(Engine.stopped_at.desc())
    ).all()
    if not failed or failed[0].stopped_at is None:
        return Crashes(0, None, now, None)
    pause = FIRST_PAUSE * 2 ** (len(failed) - 1)
    return Crashes(len(failed), failed[0].stopped_at + pause, now, failed[0].error)


def set_status(
    session: Session, deployment_id: str, status: DeploymentStatus, **fields: Any
) -> bool:
    """Set the status of a deployment that is still wanted; False if it should stop."""
    if status == DeploymentStatus.READY:
        fields |= {"ready_at": func.clock_timestamp(), "error": None}
    done = session.execute(
        update(Deployment)
        .where(Deployment.id == deployment_id, Deployment.desired == "run")
        .values(status=status, updated_at=func.clock_timestamp(), **fields)
        .returning(Deployment.id)
    )
    return done.first() is not None


def fail(
    session: Session, deployment_id: str, message: str, code: str, parity: dict[str, Any] | None
) -> None:
    """End a deployment as failed, with a sentence that says why."""
    error = {"message": storable(message), "code": code, "param": None}
    set_status(session, deployment_id, DeploymentStatus.FAILED, error=error, parity=parity)


def mark_stopped(session: Session, deployment_id: str) -> None:
    """Record that a deployment that should stop is no longer loaded."""
    deployment = session.get_one(Deployment, deployment_id)
    deployment.status = DeploymentStatus.STOPPED
    deployment.updated_at = func.clock_timestamp()
