"""Launch a process of the training core and answer for its whole tree.

Knows nothing of jobs or the database.
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

from orpo.contract.spec import RunSpec
from services import sandbox
from services.reach import of_run
from services.settings import get_settings
from services.verbs import MARK, environment

SLOW_BYTES_A_S = 5_000_000


@dataclass
class TrainingProcess:
    """A running `orpo.ranks` and the ranks it started, found by their mark."""

    popen: subprocess.Popen[bytes]
    mark: str

    def poll(self) -> int | None:
        return self.popen.poll()

    def ask_to_stop(self) -> bool:
        """Send SIGTERM to the ranks, which save a checkpoint and end; False if none runs yet."""
        ranks = [process for process in tree(self.mark) if _is_rank(process)]
        for rank in ranks:
            _signal(rank, signal.SIGTERM)
        return bool(ranks)

    def kill(self) -> None:
        kill_tree(self.mark)
        self.popen.wait()


@dataclass(frozen=True)
class Node:
    """Which of a run's nodes this machine is, and the GPUs that it may use there (none: all)."""

    index: int = 0
    devices: Sequence[int] = ()


def launch_training(
    run_dir: Path, spec: RunSpec, deadline_file: Path, verb: str = "train", node: Node = Node()
) -> TrainingProcess:
    """Start this node's ranks of `python -m orpo.<verb> RUN_DIR`.

    In their own session, logging to `train.log`, or `train-<node>.log` beyond the first.
    """
    method = spec.method
    command = [
        get_settings().train_python, "-m", "orpo.ranks",
        str(method.processes // method.nodes), verb, str(run_dir),
        f"--nodes={method.nodes}", f"--node={node.index}",
    ]  # fmt: skip
    # Nodes of one machine, as in tests, must not end each other's processes.
    mark, name = (
        (f"{run_dir}#{node.index}", f"train-{node.index}.log")
        if node.index
        else (str(run_dir), "train.log")
    )
    extra = {"ODDSMITH_DEADLINE_FILE": str(deadline_file)}
    if method.nodes > 1:
        extra |= _network_of(get_settings().node_address)
    if node.devices:
        extra["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, node.devices))
    with (run_dir / name).open("ab") as log:
        popen = subprocess.Popen(
            _confined(command, run_dir, spec),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(mark, extra),
            start_new_session=True,
        )
    return TrainingProcess(popen, mark)


def _confined(command: list[str], run_dir: Path, spec: RunSpec) -> list[str]:
    """All ranks in one sandbox, so that they meet on its loopback; several machines need more."""
    reach = of_run(spec, run_dir)
    network = spec.method.nodes > 1
    return sandbox.wrap(command, reads=reach.reads, writes=reach.writes, network=network)


def _network_of(address: str | None) -> dict[str, str]:
    """Let ranks of several nodes listen in the network that `address` belongs to, and no other.

    Empty where it is not known; what the worker's own environment names stands.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if address in [each.address for each in addresses]:
            return {
                variable: os.environ.get(variable, name)
                for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
            }
    return {}


def time_for(folder: Path, at_least_s: float) -> float:
    """Return how long a verb that reads the whole of `folder` may take, from a slow disk too."""
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return at_least_s + size_bytes / SLOW_BYTES_A_S


def extend_deadline(deadline_file: Path, lease_s: float) -> None:
    """Let the ranks live for 0.8 of a lease from now, by the clock that counts since boot.

    They kill themselves when it passes, so that a worker that froze can't be outlived by them.
    """
    _replace(deadline_file, f"{time.monotonic() + 0.8 * lease_s:.3f}")


def note_registered(run_dir: Path, step: int) -> None:
    """Tell the run which of its checkpoints a resume may ask for: that one's state must stay."""
    _replace(run_dir / "registered", str(step))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def tree(mark: str) -> list[psutil.Process]:
    """Return every live process that carries `mark` in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_tree(mark: str, patience_s: float = 5) -> None:
    """SIGKILL every process that carries `mark`, also those that it forks meanwhile."""
    until = time.monotonic() + patience_s
    while (left := tree(mark)) and time.monotonic() < until:
        for process in left:
            _signal(process, signal.SIGKILL)
        # Not by psutil's wait: it would take our own child's exit code from under Popen.
        time.sleep(0.05)


def _is_rank(process: psutil.Process) -> bool:
    """Say whether a process is a rank, and not the one that started the ranks."""
    try:
        return "LOCAL_RANK" in process.environ()
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
