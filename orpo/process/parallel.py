"""The processes of a run, their communication, and how work is shared among them.

Knows no model and no data; `strategy.py` knows which rank holds which tensors.

Shapes: N trained weights, `_R` one entry a rank.
"""

import os
import socket
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

# torch documents these names, but does not export them for type checkers.
from torch.distributed import (
    FileStore,  # pyright: ignore[reportPrivateImportUsage]
    HashStore,  # pyright: ignore[reportPrivateImportUsage]
    Store,  # pyright: ignore[reportPrivateImportUsage]
    TCPStore,  # pyright: ignore[reportPrivateImportUsage]
)

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Hyperparameters, Strategy
from orpo.contract.rundir import LOCAL_RANK, RANK, WORLD_SIZE

TIMEOUT = timedelta(minutes=30)  # the other ranks wait while the lead rank generates and saves
# Gloo and NCCL do not authenticate connections. On one node their sockets are on loopback only,
# whatever network this machine's settings name for runs on several nodes.
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


class WrongWorld(Failure):
    """The running processes do not match the spec."""

    def __init__(self, message: str):
        hint = "Let strategy and processes in the spec match how the run is launched."
        super().__init__(Code.BAD_SPEC, message, hint, "method.processes")


class Single:
    """One process: every sum is already complete."""

    rank = 0
    world = 1

    @property
    def device(self) -> torch.device:
        """The device on which this rank computes."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get(LOCAL_RANK, "0")))

    @property
    def leads(self) -> bool:
        """True on the one rank that writes the run directory."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The elementwise sum over ranks of a tensor of one shape; in place, and returned."""
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether the flag is True on any rank; all ranks get the same result."""
        return bool(self.sum(torch.tensor(float(flag))))

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every rank's tensor (one shape and dtype for all), in the order of ranks."""
        return [tensor]

    def barrier(self) -> None:
        """Wait until every rank has reached this point."""

    def close(self) -> None:
        """Leave the group. Call it once, at the end."""


class Ranks(Single):
    """Processes that `orpo.ranks` started, over gloo (CPU) or NCCL.

    They find each other through a file, or at `host:port` if they run on several nodes.
    """

    def __init__(self, strategy: Strategy, processes: int, meeting: Path | str) -> None:
        backend = "gloo"
        if torch.cuda.is_available():
            backend = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(self.device)
        self.rank = int(os.environ.get(RANK, "0"))
        self.world = int(os.environ.get(WORLD_SIZE, "1"))
        store = _store(meeting, self.rank, self.world)
        dist.init_process_group(
            backend, store=store, rank=self.rank, world_size=self.world, timeout=TIMEOUT
        )
        if self.world != processes:
            raise WrongWorld(
                f"{strategy} over {processes} processes was asked for, but {self.world} run: "
                f"start with python -m orpo.ranks {processes} train RUN_DIR."
            )

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        out_R = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(out_R, tensor.contiguous())
        return out_R

    def barrier(self) -> None:
        dist.barrier()

    def close(self) -> None:
        dist.destroy_process_group()


def _store(meeting: Path | str, rank: int, world: int) -> Store:
    """The store through which the ranks exchange their addresses.

    torch's own stores (`env://`, `tcp://`) listen on all interfaces. This one listens on loopback
    only for one node, and for several nodes on the address by which they know the first one.
    """
    if isinstance(meeting, str):
        return _tcp_store(meeting, rank, world)
    os.environ |= LOOPBACK
    return FileStore(str(meeting), world) if world > 1 else HashStore()


def _tcp_store(meeting: str, rank: int, world: int) -> Store:
    host, _, port = meeting.rpartition(":")
    listener = None
    if rank == 0:
        family, *_, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family).detach()
    return TCPStore(
        host, int(port), world, is_master=rank == 0, timeout=TIMEOUT, master_listen_fd=listener
    )


def start(method: Hyperparameters, meeting: Path | str) -> Single:
    """The process group of the spec; raises WrongWorld if the launch does not match the spec.

    `meeting` is the file at which the ranks of one node meet, or `host:port` for those of several.
    """
    running = int(os.environ.get(WORLD_SIZE, "1"))
    if method.strategy is not Strategy.SINGLE:
        return Ranks(method.strategy, method.processes, meeting)
    if method.processes != 1 or running != 1:
        raise WrongWorld(
            f"strategy `single` runs one process, but the spec names {method.processes} and "
            f"{running} run: choose another strategy for more than one."
        )
    return Single()


def spread(costs: Sequence[int], ranks: int) -> list[list[int]]:
    """Deal work items to ranks by cost: the most expensive first, each to the rank with the lowest
    sum.

    Ties go to the lower index and the lower rank, so every rank computes the same result.
    """
    loads = [0] * ranks
    shares: list[list[int]] = [[] for _ in range(ranks)]
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        rank = loads.index(min(loads))
        loads[rank] += costs[index]
        shares[rank].append(index)
    return [sorted(share) for share in shares]


def check_equal(parallel: Single, parameters: Iterable[torch.nn.Parameter]) -> None:
    """Raise WrongWorld unless every rank holds the same trained weights (compared by sums)."""
    sums_N = torch.stack([p.detach().double().sum() for p in parameters])
    for rank, other_N in enumerate(parallel.gather(sums_N)):
        if not torch.equal(other_N, sums_N):
            raise WrongWorld(f"Ranks {rank} and {parallel.rank} loaded different weights.")
