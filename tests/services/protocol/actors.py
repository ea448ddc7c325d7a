"""The actors: workers, preparers, keepers, people, and one that makes illegal writes.

They run the product's own code. Its environment is simulated: the training process, the broker, the
preparation of data, the worker's clock, and the signal to stop.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from models import Job
from models.jobs import DesiredState, JobState
from orpo.contract.spec import read_spec
from services.access.callers import Caller
from services.jobs import jobs
from services.jobs.jobs import NewJob
from services.jobs.states import ENDED, TRANSITIONS
from services.launchers import launchers
from services.platform.database import transaction
from services.platform.errors import Conflict
from services.processes.verbs import VerbError
from services.runs import metrics
from tests.services.protocol.turns import Actor, Turns, acting
from workers import jobs as tasks
from workers import keeper, preparations, prepare_queue, supervision, training, turns

LIVE_JOBS = 6
PAUSED = (
    select(Job.id)
    .where(Job.desired_state == DesiredState.PAUSE, Job.state.not_in(ENDED))
    .order_by(Job.created_at)
)
STEPS = 4
SAVE_EVERY = 2
PREPARED = {"train": {"pairs": 8, "tokens": 80, "dropped": {}}, "steps": STEPS}


class Broker:
    """Wake-ups in transit: some are lost, some are doubled, and they arrive in any order."""

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        # How many copies of a message arrive; each entry is equally likely.
        self.copies: dict[str, tuple[int, ...]] = defaultdict(lambda: (0, 1, 1, 1, 2))

    def publish(self, task: str, arguments: dict[str, Any]) -> None:
        queue = task.partition(".")[0]
        for _ in range(_acting().rng.choice(self.copies[queue])):
            self.messages[queue].append(arguments)

    def llen(self, queue: str) -> int:
        return len(self.messages[queue])

    def take(self, queue: str) -> dict[str, Any]:
        waiting = self.messages[queue]
        return waiting.pop(_acting().rng.randrange(len(waiting)))


class Process:
    """A training process: a poll may advance it by one event. It can end in every possible way."""

    waits_for = why = None

    def __init__(self, run_dir: Path, world: "World") -> None:
        spec = read_spec(run_dir)
        self.run_dir, self.world, self.rng = run_dir, world, _acting().rng
        self.step = int(spec.resume_from.name.split("-")[1]) if spec.resume_from else 0
        self.generation, self.is_resumed = spec.generation, bool(spec.resume_from)
        self.claim = (spec.job_id, spec.generation)
        self.is_poisoned = spec.job_id in world.poisoned
        self.has_begun = self.is_stopping = False
        self.status: int | None = None
        world.first_steps[self.claim] = self.step + 1

    def poll(self) -> int | None:
        if self.status is None and self.rng.random() < 0.7:
            self._advance()
        return self.status

    def renew(self) -> None:
        """It has no deadline."""

    def ask_to_stop(self) -> bool:
        self.is_stopping = self.has_begun
        return self.has_begun

    def kill(self) -> None:
        self.status = -9 if self.status is None else self.status
        self.world.trained.add(self.claim)

    def _advance(self) -> None:
        if self.is_poisoned or (self.world.is_rough and self.rng.random() < 0.1):
            self._break()
        elif not self.has_begun:
            self.has_begun = True
            self._tell("started", steps=STEPS)
        elif self.is_stopping and self.step < STEPS:
            self._save()
            self._end("stopped", 75)
        elif self.step < STEPS:
            self._train()
        else:
            self._end("finished", 0)

    def _train(self) -> None:
        self.step += 1
        values = {"loss": float(self.generation)}
        self._write("metrics", {"step": self.step, "t": 0.0, "split": "train", "values": values})
        if self.step % SAVE_EVERY == 0:
            self._save()

    def _save(self) -> None:
        if self.step:
            path = f"checkpoints/step-{self.step}"
            self._tell("checkpoint", step=self.step, path=path, sha256="0", size_bytes=1)

    def _break(self) -> None:
        """End without a message, with a temporary error, or with a permanent error."""
        codes = ["internal"] if self.is_poisoned else ["internal", "nan", "nan"]
        if self.is_resumed and not self.has_begun:
            codes.append("bad_checkpoint")
        if self.rng.random() < 0.25:
            self.status = -9
        else:
            self._end("error", 1, code=self.rng.choice(codes))

    def _end(self, type_: str, status: int, **data: Any) -> None:
        self._tell(type_, **data)
        self.status = status

    def _tell(self, type_: str, **data: Any) -> None:
        self._write("events", {"type": type_, "message": f"It {type_}.", "data": data})

    def _write(self, name: str, record: dict[str, Any]) -> None:
        with (self.run_dir / f"{name}.jsonl").open("a") as file:
            file.write(f"{json.dumps(record)}\n")


class World:
    """The actors and their shared state. `is_rough` while faults are injected."""

    def __init__(self, seed: int, turns: Turns, caller: Caller, base: str, pairs: str) -> None:
        self.seed, self.turns, self.caller = seed, turns, caller
        self.base, self.pairs = base, pairs
        self.broker = Broker()
        self.is_rough = True
        self.job_ids: list[str] = []
        self.poisoned: set[str] = set()
        self.first_steps: dict[tuple[str, int], int] = {}
        # Claims, by job and generation, whose training process has ended.
        self.trained: set[tuple[str, int]] = set()
        self._made: Counter[str] = Counter()

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace parts of the product by the simulated ones."""
        clock = SimpleNamespace(
            monotonic=lambda: self.turns.now / 1000,
            sleep=lambda seconds: _acting().sleep(seconds),
        )
        draining = SimpleNamespace(is_set=lambda: _acting().is_draining)
        redis = SimpleNamespace(Redis=SimpleNamespace(from_url=lambda *_, **__: self.broker))
        for module, name, value in (
            (training, "time", clock),
            (training, "draining", draining),
            (supervision, "time", clock),
            (supervision, "draining", draining),
            (tasks, "draining", draining),
            (tasks, "fleet", Fleet()),
            # This lock only saves work. It is no guard: Postgres may release it at any time.
            (turns, "alone", lambda _: nullcontext(enter_result=True)),
            (launchers, "start", lambda run_dir, *_, **__: Process(run_dir, self)),
            (keeper, "redis", redis),
            (keeper, "publish", self.broker.publish),
            (preparations, "write_rows", _write_rows),
            (preparations, "run_verb", self._run_verb),
            # Curves are derived from rows that are checked, and would take half of the time.
            (metrics, "series", SimpleNamespace(roll_up=lambda *_: None)),
        ):
            monkeypatch.setattr(module, name, value)

    def _run_verb(self, *_: Any, **__: Any) -> dict[str, Any]:
        dice = _acting().rng.random() if self.is_rough else 1
        if dice < 0.05:
            raise VerbError({"code": "bad_data", "message": "No row is usable."})
        if dice < 0.2:
            code = "killed" if dice < 0.12 else "timeout"
            raise VerbError({"code": code, "message": "It did not end."})
        return PREPARED

    def add(self, role: Callable[["World", Actor], None]) -> Actor:
        self._made[role.__name__] += 1
        name = f"{role.__name__}-{self._made[role.__name__]}"
        rng = random.Random(f"{self.seed} {name}")
        return self.turns.add(Actor(name, lambda actor: role(self, actor), self.turns, rng))


def _write_rows(folder: Path, *_: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").touch()


class Fleet:
    """Gives the name of the acting worker to the product."""

    @property
    def WORKER(self) -> str:  # noqa: N802  the product's constant
        return f"{_acting().name}:1"


def _acting() -> Actor:
    actor = acting()
    assert actor is not None
    return actor


def worker(world: World, actor: Actor) -> None:
    while not actor.is_draining:
        actor.wait(lambda: world.broker.llen("train"))
        world.broker.take("train")
        try:
            tasks.train()
        except DBAPIError:
            continue  # Celery logs the exception of a task and takes the next message.


def preparer(world: World, actor: Actor) -> None:
    while True:
        actor.wait(lambda: world.broker.llen("prepare"))
        world.broker.take("prepare")
        try:
            prepare_queue.prepare()
        except DBAPIError:
            continue


def warden(world: World, actor: Actor) -> None:
    """The keeper's loops. Two keepers run at once: the advisory lock only saves work."""
    while True:
        actor.sleep(actor.rng.uniform(0.5, 5))
        loop = actor.rng.choice((keeper.dispatch, keeper.dispatch, keeper.reap, keeper.rewake))
        try:
            loop()
        except DBAPIError:
            continue


def owner(world: World, actor: Actor) -> None:
    """Creates jobs, so that some are always open; every fifth can never train."""
    while world.is_rough:
        actor.sleep(actor.rng.uniform(0, 15))
        request = NewJob(world.base, world.pairs, seed=len(world.job_ids))
        try:
            with transaction() as session:
                unended = select(func.count()).where(Job.state.not_in(ENDED))
                if session.scalars(unended).one() >= LIVE_JOBS:
                    continue
                job_id = jobs.create(session, world.caller, request).id
        except DBAPIError:
            continue
        world.job_ids.append(job_id)
        if len(world.job_ids) % 5 == 2:
            world.poisoned.add(job_id)


def person(world: World, actor: Actor) -> None:
    """Cancels, pauses and resumes jobs at any time; after the faults, resumes paused jobs."""
    while True:
        actor.sleep(actor.rng.uniform(1, 12))
        job_id = actor.target or actor.rng.choice(world.job_ids or [None])
        wishes = (jobs.cancel, jobs.cancel, jobs.pause, jobs.pause, jobs.resume, jobs.resume)
        change = actor.rng.choice(wishes[:3] if actor.target else wishes[1:])
        actor.target = None
        try:
            with transaction() as session:
                if not world.is_rough:
                    paused = session.scalars(PAUSED).all()
                    job_id, change = actor.rng.choice(paused or [None]), jobs.resume
                if job_id is not None:
                    change(session, world.caller, job_id)
        except (Conflict, DBAPIError):
            continue


def stray(world: World, actor: Actor) -> None:
    """Makes four kinds of illegal writes, without the services: the database must refuse them."""
    while world.is_rough:
        actor.sleep(actor.rng.uniform(5, 30))
        if not world.job_ids:
            continue
        try:
            with transaction() as session:
                job = session.get_one(Job, actor.rng.choice(world.job_ids), with_for_update=True)
                actor.rng.choice(WRONGS)(session, job, actor.rng)
        except (IntegrityError, DBAPIError):
            continue


def _leap(session: Any, job: Job, rng: random.Random) -> None:
    wrong = sorted(set(JobState) - TRANSITIONS[JobState(job.state)] - {JobState(job.state)})
    job.state = rng.choice(wrong)
    job.generation += job.state == JobState.CLAIMED


def _fall(session: Any, job: Job, rng: random.Random) -> None:
    job.generation -= 1


def _claim_again(session: Any, job: Job, rng: random.Random) -> None:
    if job.state == JobState.QUEUED:
        job.state, job.worker = JobState.CLAIMED, "stray"


def _end_twice(session: Any, job: Job, rng: random.Random) -> None:
    if job.state in ENDED:
        session.execute(
            text(
                "INSERT INTO job_events (job_id, generation, message, terminal) "
                "VALUES (:job, :generation, 'Again.', true)"
            ),
            {"job": job.id, "generation": job.generation},
        )


WRONGS = (_leap, _fall, _claim_again, _end_twice)
