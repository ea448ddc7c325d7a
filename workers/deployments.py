"""The serve worker's task: reconcile what is served with what is desired, step by step.

A step reads the rows, checks the engines, does what is next for each, and returns. Only the rows
hold state that steps need, so any worker can go on where another stopped.
"""

import logging
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from models import BaseModelRecord, Checkpoint, Engine
from models.base import new_id
from models.deployments import DeploymentStatus
from services.platform import traces
from services.platform.database import alone, transaction
from services.platform.errors import NotFound, Unavailable
from services.platform.locks import Lock
from services.platform.logs import bound
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.serving import deployments, engine_folders, engines
from services.serving.engines import EngineStatus, Wanted
from services.serving.weights import merged
from workers import parity, vllm
from workers.app import app, draining
from workers.engine_client import DownError, EngineClient, Listing, RefusedError

logger = logging.getLogger(__name__)

WORKER = socket.gethostname()
STEP_S = 0.5
# One message starts steps for this long; the keeper sends another one while work remains.
TURN_S = 10
# How long an engine without deployments is kept, and how long an engine may give no answer.
IDLE_GRACE_S = 30.0
SILENCE_S = 30.0


@app.task(name=Task.RECONCILE)
def reconcile() -> None:
    """Step until everything is as desired, or for TURN_S at most."""
    try:
        with alone(Lock.ENGINES) as mine:
            if mine:
                _turn()
    except OperationalError:
        logger.warning("the database is away; the keeper wakes this worker again")


def _turn() -> None:
    for _ in range(round(TURN_S / STEP_S)):
        step()
        with transaction() as session:
            if not deployments.needs_reconcile(session):
                return
        if draining.wait(STEP_S):
            return


def step() -> None:
    """Do what is next for every deployment and every engine."""
    with transaction() as session:
        for deployment in engines.unwanted(session):
            engines.mark_stopped(session, deployment.id)
        wanted = engines.wanted(session)
        live = engines.live(session)
    for gone in _looks.keys() - {want.deployment.id for want in wanted}:
        del _looks[gone]
    by_weights: dict[str, list[Wanted]] = {}
    for want in filter(_is_servable, wanted):
        by_weights.setdefault(want.weights, []).append(want)
    for want in wanted:
        _note_special_strings(want)
    kept = [engine for engine in live if _tend(engine, by_weights.get(engine.weights, []))]
    serving = {engine.weights: engine for engine in kept}
    is_starting = any(engine.status == EngineStatus.STARTING for engine in kept)
    for weights, wants in by_weights.items():
        if weights not in serving:
            # One at a time: two that start together charge each other's memory (vllm#55827).
            is_starting = is_starting or _start(wants)
        elif serving[weights].status == EngineStatus.READY:
            _serve(serving[weights], wants)


def _note_special_strings(want: Wanted) -> None:
    """Find and store the special strings of a base that was registered before they were stored."""
    if want.special_strings is not None:
        return
    try:
        with transaction() as session:
            base = session.get_one(BaseModelRecord, want.deployment.base_model)
        if engines.special_strings(base.info) is not None:
            return  # just stored for another deployment
        strings = parity.special_strings_of(Path(base.path))
    except parity.UndecidedError as reason:
        logger.warning("its special strings are not known yet: %s", reason)
        return
    with transaction() as session:
        engines.note_special_strings(session, base.id, strings)


def _client(engine: Engine) -> EngineClient:
    return EngineClient(engines.address(engine))


def _tend(engine: Engine, wants: list[Wanted]) -> bool:
    """Check one engine; False if it is no longer there."""
    with bound(engine=engine.id):
        if engine.worker == WORKER and not vllm.alive(engine.pid, engine.pid_started):
            return _crashed(engine, vllm.last_words(engine.id))
        if engine.status == EngineStatus.STARTING:
            return _tend_starting(engine, wants)
        return _tend_ready(engine, wants)


def _tend_starting(engine: Engine, wants: list[Wanted]) -> bool:
    if not wants:
        return _retire(engine)
    if _client(engine).models() is not None:
        logger.info("the engine answers")
        with transaction() as session:
            engines.seen(session, engine.id)
        return True
    with transaction() as session:
        age_s = engines.age_s(session, engine)
        engines.looked_at(session, engine.id)
    limit_s = get_settings().engine_start_s
    if age_s > limit_s:
        return _crashed(engine, f"it did not answer within {limit_s:.0f} s of its start")
    return True


def _tend_ready(engine: Engine, wants: list[Wanted]) -> bool:
    with transaction() as session:
        idle_s = 0.0 if wants else engines.idle_s(session, engine)
        in_the_way = not wants and engines.is_in_the_way(session, engine)
        silent_s = engines.silent_s(session, engine)
    # An engine that an older release started listens on loopback and requires no key.
    misplaced = get_settings().engines_are_local and engine.port != 0
    too_small = _rank(wants) > engine.max_lora_rank
    if in_the_way or idle_s > IDLE_GRACE_S or too_small or misplaced:
        return _retire(engine)
    names = _client(engine).models()
    if names is not None:
        with transaction() as session:
            engines.seen(session, engine.id)
        wanted = {engine.served_name, *(engines.adapter_name(want.deployment) for want in wants)}
        _unload(engine, names.keys() - wanted)
        return True
    return silent_s < SILENCE_S or _crashed(engine, f"it stopped answering for {SILENCE_S:.0f} s")


def _unload(engine: Engine, unwanted: set[str]) -> None:
    """Unload adapters that were stopped or have failed; the next step retries those that stay."""
    for name in unwanted:
        _forget_looks(engine)  # its list of models has changed
        try:
            _client(engine).unload_adapter(name)
        except (DownError, RefusedError) as reason:
            logger.warning("not unloaded yet: %s", reason, extra={"deployment": name})


def _is_servable(want: Wanted) -> bool:
    """Fail a deployment that no engine could serve: its engine would crash."""
    if want.unmerged is not None and not _merge(want, want.unmerged):
        return False
    if not Path(want.weights).is_dir():
        _fail(want, f"Its weights are no longer on disk: {want.weights} is gone.", "cannot_serve")
        return False
    try:
        _rank([want])
    except vllm.UnservableError as refusal:
        _fail(want, str(refusal), "cannot_serve")
        return False
    return True


def _merge(want: Wanted, checkpoint: Checkpoint) -> bool:
    """Merge an adapter that no engine applies into whole weights, if that was not done before."""
    try:
        merged(checkpoint)
    except (NotFound, Unavailable) as refusal:
        _fail(want, str(refusal), "cannot_serve")
        return False
    return True


def _rank(wants: list[Wanted]) -> int:
    """The LoRA rank that their engine needs; 0 without adapters."""
    ranks = [vllm.adapter_rank(want.adapter) for want in wants if want.adapter is not None]
    return vllm.round_up_rank(max(ranks)) if ranks else 0


def _crashed(engine: Engine, reason: str) -> bool:
    logger.warning("the engine has ended: %s", reason)
    _stop_process(engine)
    with transaction() as session:
        engines.end(session, engine.id, EngineStatus.FAILED, reason)
    return False


def _retire(engine: Engine) -> bool:
    logger.info("the engine is no longer needed as it is")
    _stop_process(engine)
    with transaction() as session:
        engines.end(session, engine.id, EngineStatus.STOPPED)
    return False


def _stop_process(engine: Engine) -> None:
    if engine.worker != WORKER:
        return
    if engine.pid is None:
        vllm.stop_unrecorded(engine.id)
    else:
        vllm.stop(engine.pid, engine.pid_started)
    engine_folders.remove(engine.id)


def _start(wants: list[Wanted]) -> bool:
    """Start an engine for these deployments, unless it must wait or was given up."""
    with transaction() as session:
        newest = max(want.deployment.created_at for want in wants)
        crashes = engines.crashes(session, wants[0].weights, newest)
    if crashes.is_final:
        message = f"Its engine ended {crashes.count} times, the last time with: {crashes.error}"
        for want in wants:
            _fail(want, message, "engine_crashed")
        return False
    if crashes.must_wait:
        return False
    _launch(wants)
    for want in wants:
        if want.is_base:
            _probe_meanwhile(want)
    return True


def _launch(wants: list[Wanted]) -> None:
    """Record an engine, start its process, and record that too: each process must have a row."""
    first = wants[0]
    name = first.deployment.model if first.is_full else first.deployment.base_model
    # An engine of a base accepts adapters from its start: the first one usually follows soon.
    rank = 0 if first.is_full else max(_rank(wants), vllm.LORA_RANK_FLOOR)
    engine_id, device = new_id("engine"), vllm.device()
    host, port = vllm.place(engine_id)
    with transaction() as session:
        engine_folders.remove_others([engine.id for engine in engines.live(session)])
        engine = engines.add(
            session, wants, id=engine_id, served_name=name, worker=WORKER, host=host,
            port=port, device=device, max_lora_rank=rank,
        )  # fmt: skip
    template = next((want.template for want in wants if want.template), None)
    parser = parity.renders(replace(first, template=template)).tool_parser
    plan = vllm.Plan(engine.id, engine.weights, name, host, port, device, rank, template, parser)
    try:
        pid, pid_started = vllm.start(plan)
    except Unavailable as refusal:
        with transaction() as session:
            engines.end(session, engine.id, EngineStatus.FAILED, str(refusal))
        return
    with transaction() as session:
        engines.set_process(session, engine.id, pid, pid_started)
    logger.info("started an engine", extra={"engine": engine.id, "pid": pid, "host": host})


def _probe_meanwhile(want: Wanted) -> None:
    """Compute a base's probe while its engine starts; `_make_ready` reports a failure."""
    try:
        parity.probe_of(want)
    except parity.ParityError:
        logger.warning("the base model could not be probed yet", extra={"model": want.weights})


def _serve(engine: Engine, wants: list[Wanted]) -> None:
    listed = _client(engine).models()
    for want in wants:
        if listed is None or draining.is_set():
            return
        name = engines.name_in(engine, want.deployment, is_adapter=want.adapter is not None)
        if want.deployment.status != DeploymentStatus.READY or name not in listed:
            with (
                bound(deployment=want.deployment.id, engine=engine.id),
                traces.span("deploy", deployment=want.deployment.id, engine=engine.id),
            ):
                _make_ready(engine, want, name, listed)
        elif _is_check_due(engine, want, listed) and not _check_again(engine, want, name, listed):
            return


@dataclass(frozen=True)
class Look:
    """When a ready deployment was last compared with its certificate, and the models then."""

    engine_id: str
    listed: Listing
    at_s: float


# By deployment. A worker that has just started has no entries, so it compares all.
_looks: dict[str, Look] = {}


def _forget_looks(engine: Engine) -> None:
    for deployment_id in [each for each, look in _looks.items() if look.engine_id == engine.id]:
        del _looks[deployment_id]


def _is_check_due(engine: Engine, want: Wanted, listed: Listing) -> bool:
    last = _looks.get(want.deployment.id)
    if last is None or last.engine_id != engine.id or last.listed != listed:
        return True
    return time.monotonic() - last.at_s >= get_settings().engine_check_s


def _check_again(engine: Engine, want: Wanted, name: str, listed: Listing) -> bool:
    """Compare a ready deployment with its certificate; False if that ended the engine.

    An engine that serves something else was tampered with or is damaged. Its other models are not
    trusted either: a new engine serves them.
    """
    client = _client(engine)
    base = engine.served_name if want.adapter is not None else None
    try:
        parity.check_again(client, name, base, want, listed[name][0])
    except (DownError, RefusedError, parity.UndecidedError) as reason:
        logger.warning("not checked again yet: %s", reason)
        return True
    except parity.ParityError as refusal:
        _fail(want, str(refusal), "parity", refusal.certificate or want.deployment.parity)
        return _retire(engine)
    _looks[want.deployment.id] = Look(engine.id, listed, time.monotonic())
    return True


def _make_ready(engine: Engine, want: Wanted, name: str, names: Listing) -> None:
    """Load what isn't loaded, certify it, and let requests in."""
    if not _set_status(want, DeploymentStatus.STARTING, engine_id=engine.id):
        return
    client = _client(engine)
    try:
        if want.adapter is not None and name not in names:
            client.load_adapter(name, want.adapter)
        base = engine.served_name if want.adapter is not None else None
        certificate = parity.certify(client, name, base, want) | {"engine": _kind(engine, client)}
    except DownError as reason:
        _judge_silence(engine, want, str(reason))
    except RefusedError as refusal:
        _fail(want, f"The engine refused it: {refusal}", "engine_refused")
    except parity.UndecidedError as reason:
        logger.warning("not certified yet: %s", reason)
    except parity.ParityError as refusal:
        _fail(want, str(refusal), "parity", refusal.certificate)
    else:
        logger.info("ready", extra={"parity": certificate})
        _set_status(want, DeploymentStatus.READY, engine_id=engine.id, parity=certificate)


def _kind(engine: Engine, client: EngineClient) -> str:
    """What computes the answers: another kind of engine gives other ones from the same weights."""
    device = engine.device.partition(":")[0]
    return f"vLLM {client.version()}, {vllm.dtype(engine.device)}, {device}"


def _judge_silence(engine: Engine, want: Wanted, reason: str) -> None:
    """Fail the deployment if the engine still runs. An engine that died is started again."""
    time.sleep(1)
    if vllm.alive(engine.pid, engine.pid_started) and _client(engine).models() is not None:
        _fail(want, f"The engine could not serve it: {reason}", "engine_refused")


def _set_status(want: Wanted, status: DeploymentStatus, **fields: Any) -> bool:
    with transaction() as session:
        return engines.set_status(session, want.deployment.id, status, **fields)


def _fail(want: Wanted, message: str, code: str, certificate: dict[str, Any] | None = None) -> None:
    logger.warning("the deployment failed: %s", message, extra={"deployment": want.deployment.id})
    with transaction() as session:
        engines.fail(session, want.deployment.id, message, code, certificate)
