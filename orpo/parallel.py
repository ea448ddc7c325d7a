"""How one step's work is spread over processes: `single`, or `ddp` with gradients summed.

Gradients are summed, not averaged: the loss divides by the whole step's denominators, so the sum
over ranks is the gradient of one process. Knows no model and no data.

Shapes: N trained values, `_R` one entry a rank.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from orpo.failures import Failure
from orpo.hyperparameters import Hyperparameters, Strategy

BUCKET_VALUES = 8_000_000  # 32 MB of fp32 a message: large enough that latency does not count
TIMEOUT = timedelta(minutes=30)  # the others wait while the lead rank generates and saves


class WrongWorld(Failure):
    """The processes that run are not those that the spec asked for."""

    def __init__(self, message: str):
        hint = "Let strategy and processes in the spec match how the run is launched."
        super().__init__("bad_spec", message, hint, "method.processes")


class Single:
    """One process: every sum is already complete."""

    rank = 0
    world = 1

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def leads(self) -> bool:
        """True on the one rank that writes the run directory."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The elementwise sum over ranks of a tensor of one shape; in place, and returned."""
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any rank; all ranks get one answer."""
        return bool(self.sum(torch.tensor(float(flag))))

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every rank's tensor (one shape and dtype for all), in the order of ranks."""
        return [tensor]

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over ranks; a rank without one adds zeros."""

    def barrier(self) -> None:
        """Wait until every rank has come here."""

    def close(self) -> None:
        """Leave the group. Call it once, at the end."""

    def share(self, costs: Sequence[int]) -> list[int]:
        """Indices of the work that is this rank's, in ascending order (see `spread`)."""
        return spread(costs, self.world)[self.rank]


class Ddp(Single):
    """Data-parallel ranks with whole copies of the weights, over gloo (CPU) or NCCL."""

    def __init__(self, processes: int) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if "WORLD_SIZE" in os.environ:
            dist.init_process_group(backend, timeout=TIMEOUT)
        else:
            dist.init_process_group("gloo", init_method="tcp://127.0.0.1:0", rank=0, world_size=1)
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        if self.world != processes:
            raise WrongWorld(
                f"ddp over {processes} processes was asked for, but {self.world} run: "
                f"start with torchrun --nproc-per-node {processes}."
            )

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        out_R = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(out_R, tensor.contiguous())
        return out_R

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        for bucket in _buckets(parameters):
            grads = [_gradient(parameter) for parameter in bucket]
            flat_N = torch.cat([grad.reshape(-1) for grad in grads])
            dist.all_reduce(flat_N)
            pieces = flat_N.split([grad.numel() for grad in grads])
            for grad, piece in zip(grads, pieces, strict=True):
                grad.copy_(piece.view_as(grad))

    def barrier(self) -> None:
        dist.barrier()

    def close(self) -> None:
        dist.destroy_process_group()


def start(method: Hyperparameters) -> Single:
    """The strategy that the spec asks for, or WrongWorld where the launch does not match it."""
    running = int(os.environ.get("WORLD_SIZE", "1"))
    if method.strategy is Strategy.DDP:
        return Ddp(method.processes)
    if method.processes != 1 or running != 1:
        raise WrongWorld(
            f"strategy `single` runs one process, but the spec names {method.processes} and "
            f"{running} run: set strategy to ddp for more than one."
        )
    return Single()


def spread(costs: Sequence[int], ranks: int) -> list[list[int]]:
    """Deal work items to ranks by cost, the dearest first, each to the rank with least so far.

    Ties go to the lower index and the lower rank, so every rank computes the same deal.
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


def _buckets(parameters: Iterable[torch.nn.Parameter]) -> Iterable[list[torch.nn.Parameter]]:
    bucket: list[torch.nn.Parameter] = []
    room = BUCKET_VALUES
    for parameter in parameters:
        if bucket and parameter.numel() > room:
            yield bucket
            bucket, room = [], BUCKET_VALUES
        bucket.append(parameter)
        room -= parameter.numel()
    if bucket:
        yield bucket


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    """The gradient, made of zeros where this rank computed none."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
