"""On a CPU, computes with `native.cpp` what takes torch several passes over memory.

The file is compiled when a process first needs it (0.7 s), for the processor that it runs on, into
a private folder: a shared cache could be filled by another user's run. Without g++ the Python
functions compute. Knows compiling, loading and calling; knows nothing of what is computed.
"""

import ctypes
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, cast

import torch
from torch import Tensor

log = logging.getLogger(__name__)

P = ParamSpec("P")

# Set to 1, the Python functions compute, as on a machine without a compiler.
OFF = "ODDSMITH_NO_NATIVE"
SOURCE = Path(__file__).with_suffix(".cpp")
# Not -ffast-math: a NaN must stay one.
COMPILE = (
    "-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp",
    "-fPIC", *(("-mprefer-vector-width=512",) if platform.machine() == "x86_64" else ()),
)  # fmt: skip
COMPILE_S = 120
LETTERS = {torch.bfloat16: "b", torch.float32: "f"}
C_TYPES = {float: ctypes.c_float, int: ctypes.c_int64}
# Of a first call's results, relative to their norm. A wrong row changes them by more.
TOLERANCE = {torch.bfloat16: 1e-2, torch.float32: 1e-4}


def native(function: Callable[P, None]) -> Callable[P, None]:
    """`function`, or on a CPU the compiled function of the same name, if there is one for these
    types and its first call gives the same results.

    It writes its results into its argument tensors, of which the first has all rows and columns.
    """

    plain: Callable[..., None] = function

    @wraps(function)
    def run(*args: Any) -> None:
        (find(plain, args) or plain)(*args)

    return cast(Callable[P, None], run)


def find(
    function: Callable[..., None],
    args: tuple[Any, ...],
    part: Callable[[tuple[Any, ...]], tuple[Any, ...]] = tuple,
) -> Callable[..., None] | None:
    """The compiled equivalent of `function` for arguments of these types, or None; it is tried on
    `part(args)` first.

    None also for tensors in another layout, or of sizes that Python would broadcast or refuse: the
    compiled functions take pointers, and check nothing.
    """
    if args[0].device.type != "cpu" or not _fits(args):
        return None
    kinds = tuple(arg.dtype if isinstance(arg, Tensor) else type(arg) for arg in args)
    compiled = _compiled(function, kinds)
    if compiled is None:
        return None
    if compiled.agrees is None:
        compiled.agrees = compiled.equals(function, part(args))
    return compiled if compiled.agrees else None


class _Compiled:
    """A function of the library for tensors of certain types."""

    def __init__(self, name: str, address: int, kinds: tuple[Any, ...]) -> None:
        types = [ctypes.c_int64] * 2 + [C_TYPES.get(kind, ctypes.c_void_p) for kind in kinds]
        self.name = name
        self.compute = ctypes.CFUNCTYPE(None, *types)(address)
        self.agrees: bool | None = None

    def __call__(self, *args: Any) -> None:
        columns = args[0].shape[-1]
        rows = args[0].numel() // columns
        pointers = (arg.data_ptr() if isinstance(arg, Tensor) else arg for arg in args)
        self.compute(rows, columns, *pointers)

    def equals(self, function: Callable[..., None], args: tuple[Any, ...]) -> bool:
        """Whether this gives what `function` gives, on copies of `args`."""
        mine, theirs = ([_copy(arg) for arg in args] for _ in range(2))
        self(*mine)
        function(*theirs)
        narrow = any(isinstance(arg, Tensor) and arg.dtype == torch.bfloat16 for arg in args)
        most = TOLERANCE[torch.bfloat16 if narrow else torch.float32]
        agrees = all(_off(*each) <= most for each in zip(mine, theirs, strict=True))
        if not agrees:
            log.warning(
                "%s of %s is not used: its first results differ from those of the Python function.",
                self.name,
                SOURCE.name,
            )
        return agrees


@lru_cache
def _compiled(function: Callable[..., None], kinds: tuple[Any, ...]) -> _Compiled | None:
    letters = [LETTERS.get(kind) for kind in kinds if isinstance(kind, torch.dtype)]
    loaded = None if None in letters else library()
    if loaded is None:
        return None
    symbol = f"{function.__name__}_{''.join(map(str, letters))}"
    address = loaded.find(symbol.encode())
    return _Compiled(function.__name__, address, kinds) if address else None


def _copy(arg: Any) -> Any:
    return arg.clone() if isinstance(arg, Tensor) else arg


def _off(mine: Any, theirs: Any) -> float:
    """The difference of a result, relative to its norm."""
    if not isinstance(mine, Tensor) or torch.equal(mine, theirs):
        return 0.0
    mine, theirs = mine.double().nan_to_num(), theirs.double().nan_to_num()
    return float((mine - theirs).norm() / theirs.norm())


def _fits(args: tuple[Any, ...]) -> bool:
    """Whether the tensors are contiguous, and each has as many numbers as the first one, as its
    rows or as its columns, or none.
    """
    first: Tensor = args[0]
    sizes = {first.numel(), first.shape[-1], 0}
    sizes.add(first.numel() // max(1, first.shape[-1]))
    tensors = (arg for arg in args if isinstance(arg, Tensor))
    return first.numel() > 0 and all(
        each.is_contiguous() and each.numel() in sizes for each in tensors
    )


@lru_cache
def library() -> ctypes.CDLL | None:
    """The compiled functions, or None where they can't be compiled or loaded; the log says why."""
    if os.environ.get(OFF) == "1":
        return None
    compiler = shutil.which("g++")
    if compiler is None:
        log.warning("g++ was not found: a training step takes about a quarter longer on a CPU.")
        return None
    with tempfile.TemporaryDirectory() as folder:
        made, linked = Path(folder, "native.o"), Path(folder, "native.so")
        commands = (
            [compiler, *COMPILE, "-c", str(SOURCE), "-o", str(made)],
            # Links no OpenMP: torch has loaded its own. The threads of a second one would compete.
            [compiler, "-shared", str(made), "-o", str(linked)],
        )
        try:
            for command in commands:
                subprocess.run(
                    command, check=True, capture_output=True, text=True, timeout=COMPILE_S
                )
            loaded = ctypes.CDLL(str(linked))
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            log.warning("%s is not compiled: %s", SOURCE.name, str(said)[-2000:])
            return None
    loaded.find.restype = ctypes.c_void_p
    return loaded
