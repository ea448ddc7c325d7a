"""Frozen linear layers whose weights are held in 4 bits: the base of QLoRA (arXiv 2305.14314).

bitsandbytes turns weights into NF4 and back; its own layer is not used. On some CPUs that one
switches, at its first use without gradients, to a product that no gradient passes through.
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

BLOCK = 64  # values that share a scale; 256 scales share another, and take 8 bits each


class Nf4Linear(nn.Linear):
    """x @ weight.T + bias, of a weight that is widened where it is used and let go."""

    def __init__(self, linear: nn.Linear) -> None:
        """Take over a layer on the CPU or a GPU; its weight is rounded and no longer held."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._functional = bitsandbytes("tuning", "lora").functional
        # In one row: on a CPU, rows that are no multiple of the block come back wrong (0.50.2).
        codes, self._scales = self._functional.quantize_4bit(
            linear.weight.detach().reshape(-1),
            blocksize=BLOCK,
            compress_statistics=True,
            quant_type="nf4",
        )
        self.register_buffer("codes", codes, persistent=False)

    @property
    def weight(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The weight as it computes, [out, in], in the type that it came in; not kept."""
        wide = self._functional.dequantize_4bit(self.codes, self._scales)
        return wide.view(self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As nn.Linear, in the precision of the open autocast."""
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        return cast(Tensor, _Product.apply(x, self))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Nf4Linear":
        """Scales follow the codes to another device, and keep their type whatever else changes."""
        super()._apply(fn, recurse)
        self._scales.to(cast(Tensor, self.codes).device)
        return self


class _Product(torch.autograd.Function):
    """Keeps the layer and not its wide weight, which the backward pass makes again."""

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
