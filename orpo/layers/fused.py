"""Compiles a function into one kernel on a GPU; otherwise each of its steps would pass over the
memory.

Knows torch's compiler and the fallback without it; knows nothing of what is computed.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, cast

import torch

log = logging.getLogger(__name__)

P = ParamSpec("P")


def fused(function: Callable[P, None]) -> Callable[P, None]:
    """`function`, compiled if its first argument is on a GPU; on a CPU unchanged.

    It writes its results into its argument tensors, whose number of rows may differ from call to
    call. If it can't be compiled (this needs Triton and a C compiler), a warning is logged, and it
    runs uncompiled from then on: slower, with the same result.
    """
    compiled: list[Callable[P, None]] = []

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if cast(torch.Tensor, args[0]).device.type == "cpu":
            return function(*args, **kwargs)
        if not compiled:
            compiled.append(compile_rows(function))
        try:
            return compiled[0](*args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a compiler can raise anything, before the call
            log.warning("%s is not compiled: %s", function.__name__, error)
            compiled[0] = function
            return function(*args, **kwargs)

    return run


def compile_rows(function: Callable[P, None]) -> Callable[P, None]:
    """`function`, compiled for the number of columns of its matrices and any number of rows."""
    compute = torch.compile(function)

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        for argument in args:
            if isinstance(argument, torch.Tensor) and len(argument) > 1 and argument.ndim > 1:
                # Otherwise the first call compiles for its exact number of rows, and the second one
                # again.
                cast(Any, torch)._dynamo.maybe_mark_dynamic(argument, 0)  # noqa: SLF001
        compute(*args, **kwargs)

    return run
