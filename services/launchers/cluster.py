"""A run that a cluster was asked to start: submit it once, follow it, stop it.

What differs between clusters is a `Cluster`; everything else is here. A cluster that can't be
reached never ends a run: its nodes live by the lease in the run's folder (`leases.py`).
"""

import logging
import shlex
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from orpo.contract.rundir import WAITS
from services.launchers.leases import Lease
from services.platform.settings import get_settings

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # between two questions to the cluster
# A cluster that restarts may not know its runs for this long.
FORGOTTEN_S = 60.0


class Unreachable(Exception):
    """The cluster did not answer, or refuses our requests. The message is a sentence."""


class Phase(StrEnum):
    """How far a submission is. `UNKNOWN`: the cluster does not know it."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True)
class Status:
    """What a cluster says of a submission. `code` is the exit status of one that has ended."""

    phase: Phase
    message: str = ""
    code: int | None = None


@dataclass(frozen=True)
class Request:
    """What a cluster is asked for: so many nodes of so many processes, which run `command`.

    With `on_gpus`, each process takes a GPU, otherwise a core.
    """

    name: str
    run_dir: Path
    verb: str
    nodes: int
    processes_a_node: int
    on_gpus: bool

    def command(self, module: str, *options: str) -> list[str]:
        """The command line of a module of this room, for a machine of the cluster."""
        of_run = (str(self.run_dir), self.verb)
        program = f"services.launchers.{module}"
        python = get_settings().cluster_python or sys.executable
        return [python, "-m", program, *of_run, *options]

    def shell(self, module: str, *options: str) -> str:
        """The same as one line for a shell."""
        return shlex.join(self.command(module, *options))

    @property
    def size(self) -> str:
        """The size, for users: `2 nodes with 4 GPUs each`."""
        what = "GPU" if self.on_gpus else "core"
        each = f"{self.processes_a_node} {what}{'' if self.processes_a_node == 1 else 's'}"
        return f"1 node with {each}" if self.nodes == 1 else f"{self.nodes} nodes with {each} each"


class Cluster(Protocol):
    """An existing scheduler. Each method raises Unreachable."""

    title: str

    def submit(self, request: Request) -> None:
        """Ask for a run. A request whose name is known already changes nothing."""
        ...

    def look(self, name: str) -> Status:
        """What is known of a submission."""
        ...

    def stop(self, name: str) -> None:
        """End a submission, whatever its phase; one that is not known is no error."""
        ...


@dataclass
class Submission:
    """A run on a cluster, followed by the worker that holds its job (see `launchers.Launched`).

    It is submitted by `poll`, again and again while the cluster is away: the job waits meanwhile.
    """

    cluster: Cluster
    request: Request
    lease: Lease
    waits_for: str | None = None
    why: str | None = None
    _code: int | None = None
    _was_accepted: bool = False
    _looked_at: float = -LOOK_S
    _seen_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.waits_for = f"Waits for {self.cluster.title} to start {self.request.size}."

    def poll(self) -> int | None:
        """The exit status, once all nodes have ended; asks the cluster at most once a second."""
        now = time.monotonic()
        if self._code is None and now - self._looked_at >= LOOK_S:
            try:
                self._look(now)
            except Unreachable as away:
                logger.warning("%s", away)
                if self.waits_for is not None:
                    self.waits_for = str(away)
            self._looked_at = time.monotonic()
        return self._code

    def renew(self) -> None:
        self.lease.renew()

    def ask_to_stop(self) -> bool:
        """Ask the nodes to save and end; a run that has not begun leaves the cluster's queue."""
        self.lease.ask_to_stop()
        if self.waits_for is not None:
            with suppress(Unreachable):
                self.cluster.stop(self.request.name)
        return True

    def kill(self) -> None:
        """End all nodes. Those that the cluster can't reach end by the lease."""
        self.lease.revoke()
        if self._code is None:
            try:
                self.cluster.stop(self.request.name)
            except Unreachable as away:
                logger.warning("%s Its nodes will see that the run is revoked.", away)
            self._code = -9

    def _look(self, now: float) -> None:
        if not self._was_accepted:
            self.cluster.submit(self.request)
            self._was_accepted, self._seen_at = True, now
            logger.info("submitted to %s as %s", self.cluster.title, self.request.name)
        status = self.cluster.look(self.request.name)
        if status.phase is Phase.UNKNOWN:
            if now - self._seen_at > FORGOTTEN_S:
                self._end(1, f"{self.cluster.title} does not know {self.request.name} any more.")
            return
        self._seen_at = now
        if status.phase is Phase.ENDED:
            self._end(status.code if status.code is not None else 1, status.message)
            return
        self.waits_for = self._wait(status)

    def _wait(self, status: Status) -> str | None:
        if status.phase is Phase.WAITING:
            what = f"Waits for {self.cluster.title} to start {self.request.size}"
            return f"{what}: {status.message}" if status.message else f"{what}."
        with suppress(OSError):
            return (self.request.run_dir / WAITS).read_text() or None
        return None

    def _end(self, code: int, message: str) -> None:
        """The ranks of a submission that has ended must not go on: its nodes are revoked."""
        self.lease.revoke()
        self._code, self.waits_for = code, None
        self.why = f"{self.cluster.title}: {message}" if code and message else None
