"""Computes a function of rows in one pass over memory, where each of its steps would take one.

On a GPU torch's compiler makes one kernel of it; on a CPU `native.cpp` may have it. Otherwise the
steps run one by one on slices of rows: on a CPU small enough for its cache, on a GPU small enough
to bound the memory in fp32. Knows the ways to compute; knows nothing of what is computed.
"""

import logging
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, cast

import torch
from torch import Tensor

from orpo.layers import native

log = logging.getLogger(__name__)

P = ParamSpec("P")

# Bytes of fp32: on a CPU as many as fit its cores' second-level caches; on a GPU enough rows to
# fill it.
SLICE_BYTES = {"cpu": 2**20, "cuda": 256 * 2**20}


def fused(function: Callable[P, None]) -> Callable[P, None]:
    """`function` of matrices, computed row by row; the first one gives the number of rows and of
    columns.

    It writes its results into its argument tensors; those that are no matrices belong to all rows.
    If it can't be compiled for a GPU (this needs Triton and a C compiler), a warning is logged, and
    it runs uncompiled from then on: slower, with the same result.
    """
    one_by_one: Callable[..., None] = function
    compiled: list[Callable[..., None]] = []

    def on_gpu(*args: Any) -> None:
        if not compiled:
            compiled.append(compile_rows(one_by_one))
        try:
            return compiled[0](*args)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a compiler can raise anything, before the call
            log.warning("%s is not compiled: %s", function.__name__, error)
            compiled[0] = one_by_one
            return one_by_one(*args)

    @wraps(function)
    def run(*args: Any) -> None:
        if args[0].device.type != "cpu":
            compute = on_gpu
        elif whole := native.find(one_by_one, args, _first):
            whole(*args)
            return
        else:
            compute = one_by_one
        for part in _slices(args):
            compute(*part)

    return cast(Callable[P, None], run)


def _first(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return next(_slices(args), args)


def _slices(args: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The arguments for some rows after the others."""
    rows, columns = args[0].shape
    step = max(1, SLICE_BYTES[args[0].device.type] // (4 * columns))
    for at in range(0, rows, step):
        yield tuple(
            arg[at : at + step] if isinstance(arg, Tensor) and arg.ndim > 1 else arg for arg in args
        )


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
