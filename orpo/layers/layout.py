"""The arguments of packed attention: the packed row in flight, and the kind of its inputs.

Knows segments and tensors; knows no kernel and no model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import torch
from torch import Tensor

from orpo.tokens.pack import Segment

LONG = 1024  # from this many tokens on, a packed row is worth compiling for

P = ParamSpec("P")
R = TypeVar("R")


class Layout:
    """The segments of the batch in flight, values derived from them, and the number of calls."""

    def __init__(self, segments: Sequence[Segment]):
        self.segments = segments
        self.calls = 0
        self._made: dict[Any, Any] = {}

    def once(
        self,
        make: Callable[Concatenate[Sequence[Segment], P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """`make(segments, ...)`, computed once: all layers need the same value."""
        key = (make, *args, *kwargs.items())
        if key not in self._made:
            self._made[key] = make(self.segments, *args, **kwargs)
        return cast(R, self._made[key])


@dataclass(frozen=True)
class Call:
    """The properties of a call that decide its kernel: equal calls get the same one."""

    device: torch.device
    dtype: torch.dtype
    heads: int
    groups: int
    size: int
    value_size: int
    window: bool
    softcap: bool
    long: bool

    @classmethod
    def of(
        cls,
        query_1HTD: Tensor,
        key_1GTD: Tensor,
        value_1GTD: Tensor,
        window: int | None,
        softcap: float | None,
    ) -> "Call":
        """The kind of a call."""
        return cls(
            device=query_1HTD.device,
            dtype=query_1HTD.dtype,
            heads=query_1HTD.shape[1],
            groups=key_1GTD.shape[1],
            size=query_1HTD.shape[3],
            value_size=value_1GTD.shape[3],
            window=window is not None,
            softcap=softcap is not None,
            long=query_1HTD.shape[2] >= LONG,
        )


class Attend(Protocol):
    """Causal attention of a packed row: each prefix sees itself, each tail its prefix and itself.

    `window` is the number of tokens that a query sees, itself included; scores are capped as
    softcap * tanh(score / softcap). Returns [1, T, H, D], contiguous.
    """

    def __call__(
        self,
        layout: Layout,
        query_1HTD: Tensor,
        key_1GTD: Tensor,
        value_1GTD: Tensor,
        scaling: float,
        window: int | None,
        softcap: float | None,
        /,
    ) -> Tensor: ...
