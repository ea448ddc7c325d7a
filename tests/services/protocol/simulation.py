"""A run of the protocol from a seed: chooses the next actor, the time that passes, and faults."""

import random
from collections import deque
from collections.abc import Callable

from models.jobs import HELD, JobState
from services.jobs.states import ENDED
from services.platform.settings import get_settings
from tests.services.protocol import actors
from tests.services.protocol.actors import World
from tests.services.protocol.invariants import Checker, Seen, Violation, is_complete, require
from tests.services.protocol.turns import Actor, role_of

CAST = {
    actors.owner: 1, actors.worker: 3, actors.warden: 2, actors.preparer: 2, actors.person: 2,
    actors.stray: 1,
}  # fmt: skip
# The share of turns with each fault, by the stage of the last actor's job: any, after its training,
# and while it is finalizing.
SHARES = {
    "_freeze": (0.006,) * 3, "_freeze_between": (0.03, 0.15, 0.4), "_doze": (0.02,) * 3,
    "_kill": (0.001,) * 3, "_deploy": (0.002,) * 3, "_lose_answer": (0.001,) * 3,
    "_let_a_lease_pass": (0.004,) * 3, "_meddle": (0.03, 0.06, 0.5),
}  # fmt: skip
# Part of the database's message, and the invariant; the first match counts.
REFUSED = {"may not go from": "states", "generation": "I2", "uq_job_events_terminal": "I1"}
# Seconds on the simulated clock: longer than leases, retry delays and runs.
PATIENCE_S = 900


class Simulation:
    """Plays a world from its seed and checks it after each commit that changed anything."""

    def __init__(self, world: World, checker: Checker, seed: int) -> None:
        self.world, self.turns, self.checker = world, world.turns, checker
        self.rng = random.Random(seed)
        self.transitions = 0
        self.moved_at = self.turns.now
        # As in swarm testing, each seed has another mix of faults, since some faults hide others.
        mix = [(fault, self.rng.choice((0, 0.5, 1.5))) for fault in SHARES]
        self.faults = [
            (getattr(self, fault), [factor * share for share in SHARES[fault]])
            for fault, factor in mix
        ]
        # Shown with a violation.
        self.history: deque[str] = deque(maxlen=40)
        self.last: Actor | None = None
        for role, count in CAST.items():
            for _ in range(count):
                world.add(role)

    def play(self, transitions: int) -> None:
        """Run with faults until this number of transitions, then without faults to the end."""
        try:
            self._play(transitions)
        except Violation as violation:
            violation.add_note("\n".join(self.history))
            raise

    def _play(self, transitions: int) -> None:
        while self.transitions < transitions:
            self._turn()
            still = self.turns.now - self.moved_at
            require(still < PATIENCE_S * 1000, "stuck", "no job changes any more")
        self._calm()
        until = self.turns.now + PATIENCE_S * 1000
        while left := [job for job in self.checker.jobs.values() if job.state not in ENDED]:
            require(
                self.turns.now < until, "stuck", f"these never end: {'; '.join(map(str, left))}"
            )
            self._turn()
        self._conclude()

    def close(self) -> None:
        for actor in list(self.turns.actors):
            self.turns.kill(actor)

    def _turn(self) -> None:
        ready = self.turns.ready()
        fault = self._fault() if self.world.is_rough else None
        if fault is not None:
            fault()
        elif not ready:
            self.turns.pass_time(self.rng.uniform(0.1, 1))
        elif self.rng.random() < 0.02:
            self.turns.pass_time(self.rng.uniform(0.5, 6))
        else:
            self._step(self._whose_turn(ready))

    def _whose_turn(self, ready: list[Actor]) -> Actor:
        """Choose an actor: often the last one, since most transactions run without interruption."""
        if self.last not in ready or self.rng.random() < 0.3:
            self.last = self.rng.choice(ready)
        assert self.last is not None
        return self.last

    def _step(self, actor: Actor) -> None:
        actor.committed = None
        self.turns.step(actor)
        self._look_at_refusals()
        if actor.failure is not None:
            raise Violation("crash", f"{actor.name}: {actor.failure!r}") from actor.failure
        if actor.committed is not None:
            changed = self.checker.look(actor, actor.committed, self.turns.now)
            if changed:
                self.transitions += 1
                self.moved_at = self.turns.now
            self.history += [f"{self.turns.now} {actor.name}: {job}" for job in changed]

    def _look_at_refusals(self) -> None:
        for refusal in self.turns.refusals:
            if not refusal.startswith("stray"):
                name = next((name for part, name in REFUSED.items() if part in refusal), "rows")
                raise Violation(name, f"the database refused it: {refusal}")
        self.turns.refusals.clear()

    def _fault(self) -> Callable[[], None] | None:
        dice, stage = self.rng.random(), self._stage()
        for fault, shares in self.faults:
            dice -= shares[stage]
            if dice < 0:
                return fault
        return None

    def _some(self, *roles: str) -> Actor:
        role = self.rng.choice(roles)
        return self.rng.choice([a for a in self.turns.actors if role_of(a) == role])

    def _freeze(self) -> None:
        """SIGSTOP for up to three leases, or for ever; in that case another actor replaces it."""
        actor = self._some("worker", "worker", "worker", "warden", "preparer", "person")
        leases = self.rng.choice((0.5, 1.2, 3, float("inf")))
        actor.frozen_until = self.turns.now + leases * get_settings().lease_s * 1000
        if leases == float("inf"):
            self.world.add(getattr(actors, role_of(actor)))

    def _held_by_last(self) -> Seen | None:
        """The last job that the last actor has claimed."""
        job_id, _ = self.checker.holds.get(self.last, ("", 0)) if self.last else ("", 0)
        return self.checker.jobs.get(job_id)

    def _is_ending(self) -> bool:
        """Whether the last actor holds a job whose training is over: a critical stage."""
        job = self._held_by_last()
        if job is None or job.state not in HELD:
            return False
        return (job.id, job.generation) in self.world.trained

    def _stage(self) -> int:
        """The index in SHARES: 0 for any time, 1 after a training, 2 while finalizing."""
        job = self._held_by_last()
        if self.last is None or job is None or not self._is_ending():
            return 0
        if self.last.frozen_until > self.turns.now:
            return 0  # it is frozen: further faults would only delay the others
        return 2 if job.state == JobState.FINALIZING else 1

    def _freeze_between(self) -> None:
        """SIGSTOP after a commit, for longer than a lease: the next write must be fenced."""
        actor = self.last
        if actor is not None and role_of(actor) == "worker" and actor.committed is not None:
            lease_ms = get_settings().lease_s * 1000
            actor.frozen_until = self.turns.now + self.rng.choice((1.2, 3)) * lease_ms

    def _doze(self) -> None:
        """SIGSTOP in a transaction for almost a lease: Postgres keeps it; the lease may expire."""
        actor = self.last
        if actor is None or actor.began is None:
            return
        if role_of(actor) in ("worker", "person"):
            actor.frozen_until = self.turns.now + 0.9 * get_settings().lease_s * 1000

    def _kill(self) -> None:
        actor = self._some("worker", "warden", "preparer")
        self.turns.kill(actor)
        self.world.add(getattr(actors, role_of(actor)))

    def _deploy(self) -> None:
        """SIGTERM: the worker stops its run in an orderly way and ends."""
        self._some("worker").is_draining = True
        self.world.add(actors.worker)

    def _lose_answer(self) -> None:
        """The next commit succeeds, but the connection breaks before the answer."""
        self._some("worker", "warden", "preparer").loses_answer = True

    def _meddle(self) -> None:
        """Let a person change a job now, while it is written or between the writes that end it."""
        job = self._held_by_last()
        sleeping = [actor for actor in self.turns.sleeping() if role_of(actor) == "person"]
        if self.last is None or job is None or not sleeping:
            return
        if self.last.began is not None or self._is_ending():
            someone = self.rng.choice(sleeping)
            if self._stage() == 2:
                # Between the last two writes of a job, the person's change would rarely come first.
                self.last.frozen_until = self.turns.now + 0.1 * get_settings().lease_s * 1000
            someone.target, someone.wakes_at = job.id, 0
            self.last = someone

    def _let_a_lease_pass(self) -> None:
        self.turns.pass_time(self.rng.uniform(1.1, 2) * get_settings().lease_s)

    def _calm(self) -> None:
        """End the faults. But Redis is emptied, and most later wake-ups are lost: claims must not
        depend on them. Actors that are frozen for ever stay frozen.
        """
        self.world.is_rough = False
        self.world.broker.messages.clear()
        self.world.broker.copies["train"] = (0, 0, 0, 1)
        for actor in self.turns.actors:
            actor.loses_answer = False

    def _conclude(self) -> None:
        for job in map(self.checker.jobs.__getitem__, self.world.job_ids):
            require(job.ends == 1, "I1", f"{job.id} ended {job.ends} times")
            if job.state == "succeeded":
                is_complete(job, self.world.first_steps, actors.STEPS)
