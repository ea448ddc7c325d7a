"""The trained weights, their gradients and their optimizer, for every distribution over ranks.

`Replicated` is `single` and `ddp`: each rank holds everything. `Fsdp2` (`fsdp2.py`) and `Zero`
(`zero.py`) shard it; then all ranks must run each pass through the model together (`lockstep`).
Gradients are summed over ranks, never averaged: the loss divides by the whole step's denominators,
so the sum equals the gradient of one process. Knows optimizers; knows no objective, no data and no
files.

Shapes: N trained values of a bucket.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from orpo.contract.hyperparameters import Hyperparameters, Tuning
from orpo.contract.spec import RunSpec
from orpo.model.policy import Policy, load_saved, masters
from orpo.process.parallel import Single
from orpo.strategies.optimizer import make, make_memory, memory, remember, set_rate

BUCKET_VALUES = 8_000_000  # 32 MB of fp32 per message, so that latency does not matter

P = ParamSpec("P")
R = TypeVar("R")


class Replicated:
    """Each rank holds all weights; gradients are summed if there are several ranks."""

    lockstep = False

    def __init__(self, policy: Policy, spec: RunSpec, group: Single) -> None:
        self.policy, self.spec, self.group = policy, spec, group
        self._take_over()

    def _take_over(self) -> None:
        """Make masters and optimizer."""
        self.masters = masters(self.policy, self.method.precision)
        self.optimizer = make(self.masters, self.method)

    @property
    def method(self) -> Hyperparameters:
        """The run's settings."""
        return self.spec.method

    def __call__(
        self, compute: Callable[Concatenate[Policy, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call `compute(policy, ...)` while the weights are usable. In lockstep every rank must
        call it.
        """
        return compute(self.policy, *args, **kwargs)

    def agree(self, flag: bool) -> bool:
        """Whether to leave a loop over work now: in lockstep as soon as the flag is True on any
        rank.
        """
        return self.group.any(flag) if self.lockstep else flag

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradients of a micro-batch; `last` marks the last one of the step."""
        del last  # only some strategies need it
        loss.backward()

    def step(self, rate: float) -> float:
        """Sum the gradients over ranks, clip, update, set to zero. Returns their norm before
        clipping.

        If that norm is NaN, the weights are ruined: see `failures.refuse_nan`.
        """
        self._sum_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.masters, self.method.max_grad_norm)
        set_rate(self.optimizer, rate)
        self.optimizer.step()
        self.masters.publish()
        self.optimizer.zero_grad(set_to_none=False)  # a weight no token reached keeps its zero
        return float(_whole(norm))

    def tensors(self) -> dict[str, Tensor]:
        """Trained weights in fp32 (`weight/NAME`) and the optimizer's state of each (`KIND/NAME`),
        as whole tensors: a checkpoint's format, the same for all strategies. Every rank must call
        it; only the lead rank gets the tensors.
        """
        found = {}
        for name, master in self.masters.by_name.items():
            remembered = memory(self.optimizer, master)
            for kind, tensor in {"weight": master.detach(), **remembered}.items():
                whole = _whole(tensor)
                if self.group.leads:
                    found[f"{kind}/{name}"] = whole.contiguous()
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Load what `tensors` returned, from this strategy or another one."""
        make_memory(self.optimizer)
        with torch.no_grad():
            for name, master in self.masters.by_name.items():
                master.copy_(_like(tensors[f"weight/{name}"], master))
                for kind, own in memory(self.optimizer, master).items():
                    remember(self.optimizer, master, kind, _like(tensors[f"{kind}/{name}"], own))
        self.masters.publish()

    def held_bytes(self) -> dict[str, int]:
        """Bytes that this rank holds all the time: `weights` with their masters, `gradients` (the
        masters'), and `optimizer`, whose state is created at the first step.
        """
        states = (t for state in self.optimizer.state.values() for t in state.values())
        return {
            "weights": _bytes([*self.policy.parameters(), *self.masters]),
            "gradients": _bytes(cast(Tensor, master.grad) for master in self.masters),
            "optimizer": _bytes(t for t in states if isinstance(t, Tensor)),
        }

    def whole(self, saved: Path) -> Policy:
        """The policy as it is served, for the lead rank; `saved` is its newest checkpoint."""
        # A base in 4 bits is served in 16 bits; these weights come from the checkpoint's base.
        is_rounded = self.method.tuning is Tuning.QLORA
        return load_saved(self.spec, saved) if is_rounded else self.policy

    def _sum_gradients(self) -> None:
        if self.group.world == 1:
            return
        for bucket in _buckets(self.masters):
            grads = [cast(Tensor, parameter.grad) for parameter in bucket]
            flat_N = self.group.sum(torch.cat([grad.reshape(-1) for grad in grads]))
            pieces = flat_N.split([grad.numel() for grad in grads])
            for grad, piece in zip(grads, pieces, strict=True):
                grad.copy_(piece.view_as(grad))


class Sharded(Replicated):
    """The common part of strategies that shard the weights."""

    lockstep = True

    def whole(self, saved: Path) -> Policy:
        """Read from the checkpoint: no rank holds the whole policy."""
        return load_saved(self.spec, saved)


class Root(torch.nn.Module):
    """Makes every use of a policy a forward pass, because FSDP2 and DeepSpeed hook into the
    forward.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, compute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return compute(self.policy, *args, **kwargs)


def _whole(tensor: Tensor) -> Tensor:
    """The whole tensor. A sharded one is moved to the CPU: a device may not have room for all
    tensors.
    """
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the parts on this rank; a tensor that occurs twice counts once."""
    return sum(local.nbytes for local in {id(t): _local(t) for t in tensors}.values())


def _local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(whole: Tensor, own: Tensor) -> Tensor:
    """`whole`, on the device and sharded as `own` is."""
    whole = whole.to(own.device)
    if isinstance(own, DTensor):
        # Every rank has read the same file, so nothing is sent.
        return distribute_tensor(whole, own.device_mesh, own.placements, src_data_rank=None)
    return whole


def _buckets(parameters: Iterable[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
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
