"""fp32 masters of weights that compute in a narrower type; the optimizer updates the masters.

A bf16 weight would round most small updates away. The gradient that a backward pass leaves on it is
added to the master's gradient in fp32 at once and dropped, so the sum over micro-batches is not
rounded to bf16. Weights that compute in fp32 are their own masters. Knows no model and no
optimizer.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from orpo.layers.native import native


class Masters:
    """The trained weights in fp32, by name; their gradients are never None."""

    def __init__(
        self,
        weights: Iterable[tuple[str, nn.Parameter]],
        compute: torch.dtype | None = None,
        wide: Iterable[nn.Parameter] = (),
    ) -> None:
        """Take over the fp32 storage of `weights`, which hold their values in `compute` from now
        on; those in `wide` keep fp32.
        """
        kept = {id(weight) for weight in wide}
        self.by_name: dict[str, nn.Parameter] = {}
        self._narrow: list[tuple[nn.Parameter, nn.Parameter]] = []
        for name, weight in weights:
            if weight.dtype != torch.float32:
                raise TypeError(f"{name} is trained in {weight.dtype}; trained weights are fp32.")
            master = weight
            if compute not in (None, torch.float32) and id(weight) not in kept:
                master = nn.Parameter(weight.data)
                weight.data = master.data.to(compute)
                weight.register_post_accumulate_grad_hook(partial(_hand_over, master))
                self._narrow.append((weight, master))
            # AdamW skips weights without a gradient. With zeros, a weight that no token reached is
            # treated the same on one rank and on many.
            master.grad = torch.zeros_like(master)
            self.by_name[name] = master

    def __iter__(self) -> Iterator[nn.Parameter]:
        return iter(self.by_name.values())

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the computing weights, after a step and after a restore."""
        for weight, master in self._narrow:
            weight.copy_(master)


def _hand_over(master: nn.Parameter, weight: nn.Parameter) -> None:
    add_wide(cast(Tensor, master.grad), cast(Tensor, weight.grad))
    weight.grad = None


@native
def add_wide(total: Tensor, part: Tensor) -> None:
    """Add `part` to the wider `total`."""
    total.add_(part)
