"""Start a run's ranks on this machine: in a sandbox, with a deadline.

`oddsmith train`, the train worker and each node of a cluster (`node.py`) start ranks here.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from orpo.contract import rundir
from orpo.contract.rundir import DEADLINE_FILE, LOCAL_RANK, REGISTERED, TOKENS_NOTE
from orpo.contract.spec import RunSpec
from services.launchers.leases import SHARE_OF_LEASE, replace
from services.platform.settings import get_settings
from services.processes import process_tree, sandbox
from services.processes.reach import of_run
from services.processes.verbs import environment


@dataclass
class TrainingProcess:
    """A running `orpo.ranks` and the ranks that it started, found by their mark."""

    popen: subprocess.Popen[bytes]
    mark: str
    # The file of the deadline; None if the ranks have none.
    deadline: Path | None = None
    waits_for: str | None = None  # ranks on this machine start at once
    why: str | None = None

    def poll(self) -> int | None:
        return self.popen.poll()

    def renew(self) -> None:
        """Let the ranks live for 0.8 of a lease from now, by the clock that counts since boot.

        Their launcher ends them when it passes, so that they can't outlive a worker that froze.
        """
        self.extend(SHARE_OF_LEASE * get_settings().lease_s)

    def extend(self, left_s: float) -> None:
        """Let the ranks live for `left_s` seconds from now."""
        if self.deadline is not None:
            set_deadline(self.deadline, left_s)

    def ask_to_stop(self) -> bool:
        """Send SIGTERM to the ranks, which save a checkpoint and end; False if none runs yet."""
        ranks = [process for process in process_tree.find(self.mark) if _is_rank(process)]
        for rank in ranks:
            process_tree.send(rank, signal.SIGTERM)
        return bool(ranks)

    def kill(self) -> None:
        process_tree.kill(self.mark)
        self.popen.wait()


@dataclass(frozen=True)
class Node:
    """Which of a run's nodes this machine is, the GPUs that it may use there (none: all), and the
    address at which the others reach it.
    """

    index: int = 0
    devices: Sequence[int] = ()
    address: str | None = None


def launch(
    run_dir: Path,
    spec: RunSpec,
    *,
    verb: str = "train",
    node: Node = Node(),
    has_deadline: bool = False,
) -> TrainingProcess:
    """Start this node's ranks of `python -m orpo.<verb> RUN_DIR`.

    They run in a session of their own, and each node has its own log. With a deadline, their
    launcher ends them unless `renew` or `extend` is called in time.
    """
    method = spec.method
    command = [
        get_settings().train_python, "-m", "orpo.ranks",
        str(method.processes // method.nodes), verb, str(run_dir),
        f"--nodes={method.nodes}", f"--node={node.index}",
    ]  # fmt: skip
    # Nodes of one machine, as in tests, must not end each other's processes.
    mark = f"{run_dir}#{node.index}" if node.index else str(run_dir)
    deadline = run_dir / rundir.deadline(node.index) if has_deadline else None
    extra = {DEADLINE_FILE: str(deadline)} if deadline else {}
    if deadline:
        set_deadline(deadline, SHARE_OF_LEASE * get_settings().lease_s)
    if method.nodes > 1:
        extra |= _network_of(node.address)
    if node.devices:
        extra["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, node.devices))
    with (run_dir / rundir.log(node.index)).open("ab") as log:
        popen = subprocess.Popen(
            _confined(command, run_dir, spec),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(mark, extra),
            start_new_session=True,
        )
    return TrainingProcess(popen, mark, deadline)


def _confined(command: list[str], run_dir: Path, spec: RunSpec) -> list[str]:
    """All ranks are in one sandbox and use its loopback; several nodes need the host's network."""
    _have_note(spec)
    reach = of_run(spec, run_dir)
    network = spec.method.nodes > 1
    return sandbox.wrap(command, reads=reach.reads, writes=reach.writes, network=network)


def _have_note(spec: RunSpec) -> None:
    """Create the file in which ranks note the tokens that they make; they can't create it there.

    They make tokens if a job was prepared by an older release or restored from a backup. Without a
    note it is not known which tokens the job used before, so all that exist are noted.
    """
    note = spec.train_path.parent / TOKENS_NOTE
    if spec.tokens_path and note.parent.is_dir():
        with suppress(FileExistsError), note.open("x") as lines:
            lines.writelines(f"{each.name}\n" for each in spec.tokens_path.glob("tokens-*"))


def _network_of(address: str | None) -> dict[str, str]:
    """Let ranks of several nodes listen in the network that `address` belongs to, and no other.

    Returns no variables if no network has that address. Variables of the worker's own environment
    take precedence.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if address in [each.address for each in addresses]:
            return {
                variable: os.environ.get(variable, name)
                for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
            }
    return {}


def set_deadline(deadline: Path, left_s: float) -> None:
    """Write the time at which the ranks end: `left_s` seconds from now."""
    replace(deadline, f"{time.monotonic() + left_s:.3f}")


def note_registered(run_dir: Path, step: int) -> None:
    """Write for the run which of its checkpoints a resume may need: its state must be kept."""
    replace(run_dir / REGISTERED, str(step))


def _is_rank(process: psutil.Process) -> bool:
    """Say whether a process is a rank, and not the one that started the ranks."""
    try:
        return LOCAL_RANK in process.environ()
    except psutil.Error:
        return False
