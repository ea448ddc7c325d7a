"""Makes a model compute in fp32, whatever the type of its weights. Knows modules, not models."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def widened(model: nn.Module, rounded: torch.dtype | None = None) -> Iterator[None]:
    """Hold each module's weights in fp32 while it computes, one module at a time.

    A whole copy in fp32 may not fit. With `rounded` the weights are first rounded to that type.
    Only modules that are called are widened; weights that are read without a call stay as they are.
    """
    own: dict[nn.Parameter, Tensor] = {}

    def widen(module: nn.Module, _inputs: object) -> None:
        for parameter in module.parameters(recurse=False):
            if parameter.is_floating_point() and parameter not in own:
                own[parameter] = parameter.data
                parameter.data = parameter.data.to(rounded or parameter.dtype).float()

    def restore(module: nn.Module, _inputs: object, _output: object) -> None:
        for parameter in module.parameters(recurse=False):
            if parameter in own:
                parameter.data = own.pop(parameter)

    modules = list(model.modules())
    hooks = [m.register_forward_pre_hook(widen) for m in modules]
    hooks += [m.register_forward_hook(restore) for m in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, data in own.items():
            parameter.data = data
