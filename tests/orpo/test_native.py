"""The compiled functions give what the Python functions give, the same bits each time, or are not
used.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orpo.layers import causal, kernels, native
from orpo.model import masters

ROWS, COLUMNS = 37, 83  # of no vector's length
TYPES = [torch.float32, torch.bfloat16]

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ here")


@pytest.fixture
def compiled_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library and the trials of its functions as in a new process."""
    caches = (native.library, native._compiled)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape).to(dtype)


def numbers() -> Tensor:
    return normal(ROWS, 1)


def matrix(dtype: torch.dtype) -> Tensor:
    return normal(ROWS, COLUMNS, dtype=dtype)


def of_norm(dtype: torch.dtype) -> tuple[Any, ...]:
    return matrix(dtype), numbers(), matrix(dtype), normal(COLUMNS), 1e-6


def of_norm_back(dtype: torch.dtype, sums: int) -> tuple[Any, ...]:
    of_all = normal(sums), matrix(dtype), numbers().abs(), normal(COLUMNS), matrix(dtype)
    return matrix(dtype), *of_all


def scores(dtype: torch.dtype) -> Tensor:
    return normal(2, 3 * 8, 21, dtype=dtype)


CALLS: dict[str, tuple[Any, Callable[[torch.dtype], tuple[Any, ...]]]] = {
    "norm": (kernels.normalise, of_norm),
    "norm, back": (kernels.normalise_back, lambda t: of_norm_back(t, COLUMNS)),
    "norm, back, frozen": (kernels.normalise_back, lambda t: of_norm_back(t, 0)),
    "gate": (kernels.gate_up, lambda t: (matrix(t), matrix(t), matrix(t))),
    "gate, back": (kernels.gate_up_back, lambda t: tuple(matrix(t) for _ in range(5))),
    "log sum exp": (kernels.log_sum_exp, lambda t: (30 * matrix(t), numbers())),
    "softmax, back": (kernels.softmax_back, lambda t: (matrix(t), 5 + numbers(), numbers())),
    "shares": (causal.shares, lambda t: (scores(t), normal(2, 24), 0.3, 8, 21)),
    "shares, window": (causal.shares, lambda t: (scores(t), normal(2, 24), 0.3, 8, 5)),
    "shares, back": (
        causal.shares_back,
        lambda t: (scores(t), scores(t), normal(2, 24), normal(2, 24), 0.3, 8, 21),
    ),
    "shares, back, window": (
        causal.shares_back,
        lambda t: (scores(t), scores(t), normal(2, 24), normal(2, 24), 0.3, 8, 5),
    ),
    "sum": (masters.add_wide, lambda t: (matrix(torch.float32), matrix(t))),
}


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def copies(args: tuple[Any, ...]) -> list[Any]:
    return [arg.clone() if isinstance(arg, Tensor) else arg for arg in args]


def whole_first(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """With the log sum exp that belongs to the scores, as the backward pass gives it."""
    if name.startswith("shares, back"):
        causal.shares.__wrapped__(args[0].clone(), args[2], *args[4:])  # pyright: ignore[reportFunctionMemberAccess]
    return args


@needs_compiler
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", CALLS)
def test_equals_the_function_in_python(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    function, make = CALLS[name]
    args = whole_first(name, make(dtype))
    mine, theirs, again = copies(args), copies(args), copies(args)
    compiled = native.find(function.__wrapped__, args)
    assert compiled is not None
    compiled(*mine)
    function.__wrapped__(*theirs)
    with threads(1):
        compiled(*again)
    for found, right, repeated in zip(mine, theirs, again, strict=True):
        if not isinstance(found, Tensor):
            continue
        # One rounding to bf16 may fall to the other side.
        error = 2**-7 if found.dtype == torch.bfloat16 else 2e-6
        torch.testing.assert_close(found, right, rtol=error, atol=error)
        assert torch.equal(found, repeated)


@needs_compiler
def test_numbers_are_rounded_as_torch_rounds_them() -> None:
    """To the nearest bf16, ties to even; a NaN stays one, and too large a number is infinite."""
    torch.manual_seed(0)
    bits = torch.randint(-(2**31), 2**31, (20_000,)).to(torch.int32)
    ties = bits & -65536 | 0x8000
    limits = torch.tensor([float("inf"), -float("inf"), 3.4e38, -0.0, 0.0])
    scale = torch.cat((bits.view(torch.float32), ties.view(torch.float32), limits))
    one = torch.ones(1, len(scale), dtype=torch.bfloat16)
    out = torch.empty_like(one)
    kernels.normalise(out, torch.empty(1, 1), one, scale, 0.0)  # 1 / rms(1) * scale
    torch.testing.assert_close(out[0], scale.bfloat16(), rtol=0, atol=0, equal_nan=True)
    assert out.isnan().any()
    assert out.isinf().any()


@needs_compiler
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(value: float) -> None:
    x = normal(3, COLUMNS, dtype=torch.bfloat16)
    x[1, 5] = value
    out, rate = torch.empty_like(x), torch.empty(3, 1)
    kernels.normalise(out, rate, x, torch.ones(COLUMNS), 1e-6)
    assert out[1].isnan().any()
    assert out[[0, 2]].isfinite().all()


@needs_compiler
def test_a_wrong_function_is_not_used(
    compiled_anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: Any
) -> None:
    wrong = tmp_path / "native.cpp"
    wrong.write_text(native.SOURCE.read_text().replace("sum[i] += wide(part[i])", "sum[i] += 1"))
    monkeypatch.setattr(native, "SOURCE", wrong)
    total, part = torch.zeros(4, 5), normal(4, 5, dtype=torch.bfloat16)
    for _ in range(2):
        masters.add_wide(total, part)
    torch.testing.assert_close(total, 2 * part.float())
    assert caplog.text.count("add_wide of native.cpp is not used") == 1


@pytest.mark.parametrize("case", ["none", "off", "broken"])
def test_without_a_compiler_python_computes(
    case: str,
    compiled_anew: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if case == "none":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif case == "off":
        monkeypatch.setenv(native.OFF, "1")
    else:
        compiler = tmp_path / "g++"
        compiler.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert native.library() is None
    total, part = torch.zeros(4, 5), normal(4, 5, dtype=torch.bfloat16)
    masters.add_wide(total, part)
    torch.testing.assert_close(total, part.float())
    assert ("no room" in caplog.text) is (case == "broken")
