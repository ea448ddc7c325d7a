"""Replacements that pass over memory fewer times, and keep less for the backward pass, than the
originals: RMS norms, gated feed-forwards, and the head's log-probs.

Each function of rows is one pass over memory where it can be (`fused.py`). A module is replaced
only if the replacement gives the same output on random numbers. Knows layers, not models.

Shapes: N tokens, D hidden size, F feed-forward size, V vocabulary.
"""

from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from orpo.layers.fused import fused
from orpo.layers.peft import lora


def wide(tensor: Tensor) -> Tensor:
    """The tensor in fp32, or unchanged if it is fp64; a copy if it was narrower."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


@fused
def normalise(out: Tensor, rate: Tensor, x: Tensor, scale: Tensor, eps: float) -> None:
    """Put x / rms(x) * scale into `out`, and 1 / rms(x) into `rate`."""
    part = wide(x)
    rate.copy_(torch.rsqrt(part.square().mean(-1, keepdim=True) + eps))
    out.copy_(part * rate * scale)


@fused
def normalise_back(
    out: Tensor, sums: Tensor, x: Tensor, rate: Tensor, scale: Tensor, grad: Tensor
) -> None:
    """Put the gradient of x into `out`; add that of the scale to `sums` unless that is empty."""
    unit, part = wide(x) * rate, wide(grad)
    if len(sums):
        sums += (part * unit).sum(0)
    part = part * scale
    along = (part * unit).mean(-1, keepdim=True)
    out.copy_((part - unit * along) * rate)


@fused
def gate_up(out: Tensor, gate: Tensor, up: Tensor) -> None:
    """Put silu(gate) * up into `out`."""
    out.copy_(functional.silu(wide(gate)) * up)


@fused
def gate_up_back(of_gate: Tensor, of_up: Tensor, gate: Tensor, up: Tensor, grad: Tensor) -> None:
    """Put the gradients of both into `of_gate` and `of_up`."""
    wide_gate, part = wide(gate), wide(grad)
    share = wide_gate.sigmoid()
    of_up.copy_(part * wide_gate * share)
    of_gate.copy_(part * up * share * (1 + wide_gate * (1 - share)))


@fused
def log_sum_exp(logits: Tensor, out: Tensor) -> None:
    """Put log sum exp of each row into `out`."""
    out.copy_(wide(logits).logsumexp(-1, keepdim=True))


@fused
def softmax_back(logits: Tensor, whole: Tensor, grad: Tensor) -> None:
    """Turn logits into -grad * softmax, in place; `whole` is their log sum exp."""
    logits.copy_((wide(logits) - whole).exp_().mul_(-grad))


class RmsNorm(torch.autograd.Function):
    """x / rms(x) * weight; keeps x and one number a token. `offset` is added to the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float, offset: float) -> Tensor:
        x_ND = x.reshape(-1, x.shape[-1])
        scale_D = wide(weight_D) + offset
        out_ND = torch.empty_like(x_ND)
        rate_N1 = torch.empty(len(x_ND), 1, dtype=scale_D.dtype, device=x.device)
        normalise(out_ND, rate_N1, x_ND, scale_D, eps)
        ctx.save_for_backward(x_ND, weight_D, rate_N1)
        ctx.offset = offset
        return out_ND.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x_ND, weight_D, rate_N1 = ctx.saved_tensors
        grad_ND = grad.reshape(x_ND.shape)
        scale_D = wide(weight_D) + ctx.offset
        out_ND = torch.empty_like(x_ND)
        sum_D = torch.zeros_like(scale_D) if ctx.needs_input_grad[1] else scale_D[:0]
        normalise_back(out_ND, sum_D, x_ND, rate_N1, scale_D, grad_ND)
        of_weight = sum_D.to(weight_D.dtype) if ctx.needs_input_grad[1] else None
        return out_ND.view_as(grad), of_weight, None, None


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up; keeps its two inputs and nothing between."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate_NF, up_NF = gate.reshape(-1, gate.shape[-1]), up.reshape(-1, up.shape[-1])
        out_NF = torch.empty_like(gate_NF)
        gate_up(out_NF, gate_NF, up_NF)
        ctx.save_for_backward(gate_NF, up_NF)
        return out_NF.view_as(gate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gate_NF, up_NF = ctx.saved_tensors
        grad_NF = grad.reshape(gate_NF.shape)
        of_gate_NF, of_up_NF = torch.empty_like(gate_NF), torch.empty_like(up_NF)
        gate_up_back(of_gate_NF, of_up_NF, gate_NF, up_NF, grad_NF)
        return of_gate_NF.view_as(grad), of_up_NF.view_as(grad)


class HeadLogps(torch.autograd.Function):
    """log softmax(hidden @ weight.T) at the targets, [N], fp32.

    Keeps one copy of the logits, as computed; the backward pass turns it into the gradient in
    place. The softmax is computed in fp32.
    """

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor) -> Tensor:
        logits_NV = hidden_ND @ weight_VD.T
        whole_N = torch.empty(
            len(target_N), dtype=wide(logits_NV[:0]).dtype, device=target_N.device
        )
        log_sum_exp(logits_NV, whole_N[:, None])
        ctx.save_for_backward(hidden_ND, weight_VD, target_N, whole_N)
        ctx.logits_NV = logits_NV
        return wide(logits_NV.gather(1, target_N[:, None])[:, 0]) - whole_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden_ND, weight_VD, target_N, whole_N = ctx.saved_tensors
        logits_NV, ctx.logits_NV = ctx.logits_NV, None
        of_target_N = (wide(logits_NV.gather(1, target_N[:, None])[:, 0]) - whole_N).exp_()
        of_target_N.mul_(-grad_N).add_(grad_N)
        softmax_back(logits_NV, whole_N[:, None], grad_N[:, None])
        # Not `scatter_`: on a CPU it copies all logits there and back.
        place_N = torch.arange(len(target_N), device=target_N.device)
        logits_NV.index_put_((place_N, target_N), of_target_N.to(logits_NV.dtype))
        of_hidden = logits_NV @ weight_VD if ctx.needs_input_grad[0] else None
        of_weight = logits_NV.T @ hidden_ND if ctx.needs_input_grad[1] else None
        return of_hidden, of_weight, None


class LoraLinear(torch.autograd.Function):
    """x @ weight.T + bias + scaling * (x @ a.T) @ b.T, the last term added in place.

    The frozen weight and bias get no gradient; the gradients of `a` and `b` are fp32. Shapes: x [N,
    I], weight [O, I], a [R, I], b [O, R].
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_NI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        a_RI: Tensor,
        b_OR: Tensor,
        scaling: float,
    ) -> Tensor:
        small_RI, large_OR = a_RI.to(x_NI.dtype), (b_OR * scaling).to(x_NI.dtype)
        inner_NR = x_NI @ small_RI.T
        out_NO = functional.linear(x_NI, weight_OI, bias_O).addmm_(inner_NR, large_OR.T)
        ctx.save_for_backward(x_NI, weight_OI, small_RI, large_OR, inner_NR)
        ctx.scaling, ctx.dtype = scaling, a_RI.dtype
        return out_NO

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_NO: Tensor
    ) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x_NI, weight_OI, small_RI, large_OR, inner_NR = ctx.saved_tensors
        through_NR = grad_NO @ large_OR
        of_a, of_b = through_NR.T @ x_NI, grad_NO.T @ inner_NR
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (grad_NO @ weight_OI).addmm_(through_NR, small_RI)
        return of_x, None, None, of_a.to(ctx.dtype), of_b.to(ctx.dtype) * ctx.scaling, None


def head_logps(head: nn.Linear, hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    """log P(target) through a plain linear head, in the precision of the open autocast."""
    device = hidden_ND.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden_ND, weight_VD = hidden_ND.to(dtype), head.weight.to(dtype)
        with torch.autocast(device, enabled=False):
            return cast(Tensor, HeadLogps.apply(hidden_ND, weight_VD, target_N))
    return cast(Tensor, HeadLogps.apply(hidden_ND, head.weight, target_N))


def install(model: nn.Module) -> None:
    """Replace the supported modules' `forward` in `model`; to undo it, delete that attribute."""
    with torch.no_grad():
        for module in model.modules():
            _replace_norm(module)
            _replace_gated(module)


def _replace_norm(module: nn.Module) -> None:
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or weight is None or weight.ndim != 1:
        return
    if not isinstance(eps, float):
        return
    for offset in (0.0, 1.0):

        def forward(self: nn.Module, x: Tensor, offset: float = offset) -> Tensor:
            return cast(Tensor, RmsNorm.apply(x, self.weight, eps, offset))

        _replace(module, forward, len(weight))


def _replace_gated(module: nn.Module) -> None:
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    activation = getattr(module, "act_fn", None)
    if not all(isinstance(part, nn.Linear) for part in parts):
        return
    if not type(activation).__name__.startswith("SiLU"):
        return

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.down_proj(SwiGlu.apply(self.gate_proj(x), self.up_proj(x)))

    _replace(module, forward, cast(nn.Linear, parts[0]).in_features)


def install_lora(policy: nn.Module) -> None:
    """Make the plain adapter layers of `policy` compute with `LoraLinear`."""
    for module in policy.modules():
        if type(module) is lora.Linear and _is_plain(module):
            module.forward = MethodType(_lora_forward, module)


def _is_plain(layer: lora.Linear) -> bool:
    """True for one adapter of exactly two matrices on a plain linear layer."""
    return (
        type(layer.base_layer) is nn.Linear
        and list(layer.lora_A) == layer.active_adapters
        and not layer.lora_variant
        and not any(b.bias is not None for b in layer.lora_B.children())
    )


def _lora_forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if layer.disable_adapters or layer.merged or through_modules(x.device):
        return type(layer).forward(layer, x, *args, **kwargs)
    device, (name,) = x.device.type, layer.active_adapters
    base, a, b = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        weight, bias = (
            part if part is None else part.to(x.dtype) for part in (base.weight, base.bias)
        )
        out = LoraLinear.apply(x.reshape(-1, x.shape[-1]), weight, bias, a, b, layer.scaling[name])
    return cast(Tensor, out).view(*x.shape[:-1], -1)


def through_modules(device: torch.device) -> bool:
    """Whether each module must be called: `widened`, which is used without gradients and autocast,
    changes the weights of a module only for the time of its call.
    """
    return not (torch.is_grad_enabled() or torch.is_autocast_enabled(device.type))


def _replace(module: nn.Module, forward: Any, size: int) -> None:
    """Make `module` compute with `forward`, if both give the same output."""
    if "forward" in vars(module):
        return
    weight = next(module.parameters())
    random = torch.Generator(device="cpu").manual_seed(0)
    x = torch.randn(3, size, generator=random).to(weight)
    own, ours = module(x).float(), forward(module, x).float()
    if (own - ours).norm() <= 1e-2 * own.norm() * (weight.element_size() < 4) + 1e-5 * own.norm():
        module.forward = MethodType(forward, module)
