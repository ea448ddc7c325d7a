"""Functions that become one kernel on a GPU, where each of their steps would pass over its memory.

Knows torch's compiler, and what to do without it; knows nothing of what is computed.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, cast

import torch

log = logging.getLogger(__name__)

P = ParamSpec("P")


def fused(function: Callable[P, None]) -> Callable[P, None]:
    """`function`, compiled where its first argument lies on a GPU; on a CPU as it stands.

    It writes its results into tensors that it is given. Their rows may vary in number from call
    to call. Where it can't be compiled (that takes Triton and a C compiler), it runs as it stands
    from then on, slower and with the same result, and the log says so.
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
        except Exception as error:  # noqa: BLE001  compilers fail in their own ways, before the call
            log.warning("%s is not compiled: %s", function.__name__, error)
            compiled[0] = function
            return function(*args, **kwargs)

    return run


def compile_rows(function: Callable[P, None]) -> Callable[P, None]:
    """`function` compiled for matrices with the columns that it meets and any number of rows."""
    compute = torch.compile(function)

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        for argument in args:
            if isinstance(argument, torch.Tensor) and len(argument) > 1 and argument.ndim > 1:
                # Else the first number would be compiled for, and only the second for all.
                cast(Any, torch)._dynamo.maybe_mark_dynamic(argument, 0)  # noqa: SLF001
        compute(*args, **kwargs)

    return run
