"""Frozen linear layers whose weights are held in 4 bits: the base of QLoRA (arXiv 2305.14314).

bitsandbytes converts weights to NF4 and back. Its own layer is not used: on some CPUs, at its first
use without gradients, that layer switches to a product that passes no gradient.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from orpo.contract.failures import Code, Failure
from orpo.layers.bnb import bitsandbytes
from orpo.layers.peft import lora

BLOCK = 64  # values that share a scale of 8 bits; 256 scales share another scale


class Nf4Linear(nn.Linear):
    """x @ weight.T + bias; the weight is dequantised for each use and not kept."""

    def __init__(self, linear: nn.Linear) -> None:
        """Take over a layer on the CPU or a GPU; its weight is quantised, and the original is
        dropped.
        """
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._functional = bitsandbytes("tuning", "lora").functional
        # As one row: on a CPU, rows that are not a multiple of the block are dequantised wrongly
        # (0.50.2).
        codes, self._scales = self._functional.quantize_4bit(
            linear.weight.detach().reshape(-1),
            blocksize=BLOCK,
            compress_statistics=True,
            quant_type="nf4",
        )
        self.register_buffer("codes", codes, persistent=False)

    @property
    def weight(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The dequantised weight, [out, in], in its original type; not kept."""
        wide = self._functional.dequantize_4bit(self.codes, self._scales)
        return wide.view(self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As nn.Linear, in the precision of the open autocast."""
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        return cast(Tensor, _Product.apply(x, self))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Nf4Linear":
        """Move the scales to the device of the codes; their type never changes."""
        super()._apply(fn, recurse)
        self._scales.to(cast(Tensor, self.codes).device)
        return self


class _Product(torch.autograd.Function):
    """Keeps the layer, not its wide weight: the backward pass dequantises it again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Nf4Linear) -> Tensor:
        ctx.layer = layer
        bias = None if layer.bias is None else layer.bias.to(x.dtype)
        return functional.linear(x, layer.weight.to(x.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad @ ctx.layer.weight.to(grad.dtype), None


def quantize(policy: nn.Module) -> None:
    """Hold the layers under the adapter in 4 bits; embeddings, norms and head stay as they are.

    Raises Failure(`bad_spec`) where there is no such layer, or bitsandbytes is missing.
    """
    adapted = [module for module in policy.modules() if isinstance(module, lora.Linear)]
    plain = [module for module in adapted if type(module.base_layer) is nn.Linear]
    if not plain:
        raise Failure(
            Code.BAD_SPEC,
            "tuning = 'qlora' holds linear layers in 4 bits, and this model has none of that kind.",
            "Set tuning to lora.",
            "method.tuning",
        )
    for module in plain:
        module.base_layer = Nf4Linear(cast(nn.Linear, module.base_layer))
