"""Packed attention in one call: equal to the path by segments, in outputs, gradients and models.

No GPU is needed: kernels written from their documentation replace those of a GPU, and FlexAttention
runs uncompiled.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.attention import flex_attention
from transformers import PreTrainedModel

from orpo.contract.hyperparameters import Precision
from orpo.layers import attention, backends, by_segment, flex, varlen
from orpo.layers.backends import Backend, choose, what_is_wrong
from orpo.layers.layout import Attend, Call, Layout
from orpo.model.policy import prepare, recompute_layers, token_logps, trainable
from orpo.tokens.pack import Segment, collate
from tests.orpo import kernels_by_hand, reference, tiny_models
from tests.orpo.tiny_models import gemma2, mistral, opt, qwen3

BY_FLASH_ATTN = partial(varlen.attend, varlen.by_flash_attn)
BY_TORCH = partial(varlen.attend, varlen.by_torch)
PATHS: dict[str, Attend] = {"flash-attn": BY_FLASH_ATTN, "torch": BY_TORCH, "flex": flex.attend}
# A prefix with three tails, a prefix with one tail, and a prefix of one token with two tails.
THREE_TAILS = [
    Segment(0, 0, 4, 4, 6), Segment(1, 0, 4, 6, 9), Segment(2, 0, 4, 9, 10),
    Segment(3, 10, 12, 12, 17), Segment(4, 17, 18, 18, 20), Segment(5, 17, 18, 20, 23),
]  # fmt: skip
HERE = Call(
    device=torch.device("cpu"), dtype=torch.float32, heads=4, groups=2, size=16, value_size=16,
    window=False, softcap=False, long=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide the kernels of a GPU, and allow FlexAttention's backward pass on a CPU."""
    monkeypatch.setattr(varlen, "_flash_attn", lambda: kernels_by_hand.flash_attn_varlen_func)
    monkeypatch.setattr(varlen, "_torch", lambda: kernels_by_hand.varlen_attn)
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    monkeypatch.setattr(backends, "chosen", {})


@pytest.fixture(params=["flash-attn", "torch", pytest.param("flex", marks=pytest.mark.slow)])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make every attention call of a model take this path."""
    only = Backend(request.param, PATHS[request.param], lambda _: None)
    monkeypatch.setattr(backends, "choose", lambda _: only)
    monkeypatch.setattr(attention, "choose", lambda _: only)
    return request.param


def computed(
    attend: Attend,
    segments: list[Segment],
    *,
    heads: int = 4,
    groups: int = 2,
    window: int | None = None,
    softcap: float | None = None,
) -> list[Tensor]:
    """Output and the three gradients on random inputs, laid out as in models: not contiguous."""
    torch.manual_seed(0)
    n, layout = max(segment.tail_end for segment in segments), Layout(segments)
    q, k, v = (
        torch.randn(1, n, size, 16).transpose(1, 2).requires_grad_()
        for size in (heads, groups, groups)
    )
    output = attend(layout, q, k, v, 0.3, window, softcap)
    assert output.shape == (1, n, heads, 16)
    return [output, *torch.autograd.grad(output, (q, k, v), torch.randn(output.shape))]


def assert_equal(attend: Attend, segments: list[Segment], **shape: int | float | None) -> None:
    found, expected = (
        computed(each, segments, **shape)  # pyright: ignore[reportArgumentType]
        for each in (attend, by_segment.attend)
    )
    for mine, right in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, right, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("window", [None, 1, 4, 50])
@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("attend", PATHS.values(), ids=PATHS)
def test_outputs_and_gradients(attend: Attend, window: int | None, softcap: float | None):
    if softcap and attend is BY_TORCH:
        pytest.skip("torch's kernel caps no scores, and is not asked to")
    assert_equal(attend, THREE_TAILS, window=window, softcap=softcap)


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("attend", PATHS.values(), ids=PATHS)
def test_heads_that_share_keys(attend: Attend, heads: int, groups: int):
    assert_equal(attend, THREE_TAILS, heads=heads, groups=groups, window=3)


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("attend", PATHS.values(), ids=PATHS)
def test_many_pairs(attend: Attend, sharing: bool):
    segments = collate(tiny_models.examples(seed=1, n=12, longest=20), sharing).segments
    assert_equal(attend, segments, window=7)
    assert_equal(attend, segments)


def test_the_window_holds_across_a_shared_prefix():
    """The second tail's first token is far behind the prefix in the row, but directly behind it in
    its sequence.
    """
    segments = [Segment(0, 0, 3, 3, 30), Segment(1, 0, 3, 30, 32)]
    sees_prefix, _ = (
        computed(by_segment.attend, segments, window=window)[2][0, :, 2].norm() for window in (2, 1)
    )
    assert sees_prefix > 0
    for attend in PATHS.values():
        assert_equal(attend, segments, window=2)


def test_a_prefix_gets_the_gradients_of_all_its_tails():
    rows = varlen.lay_out(THREE_TAILS, torch.device("cpu"))
    tensor = torch.randn(23, 2, 3, dtype=torch.float64, requires_grad=True)
    assert rows.key_K is not None
    assert torch.equal(rows.keys(tensor), tensor[rows.key_K])
    assert gradcheck(rows.keys, (tensor,))
    gradient = torch.autograd.grad(rows.keys(tensor).sum(), tensor)[0][:, 0, 0]
    assert gradient.tolist() == [3.0] * 4 + [1.0] * 13 + [2.0] + [1.0] * 5


def test_where_nothing_is_shared_keys_are_not_copied():
    batch = collate(tiny_models.examples(seed=1, n=3), prefix_sharing=False)
    rows = varlen.lay_out(batch.segments, torch.device("cpu"))
    tensor = torch.randn(len(batch.input_ids_T), 2, 3)
    assert rows.keys(tensor) is tensor
    assert torch.equal(rows.starts_q_S, rows.starts_k_S)


def test_indices_are_made_once_a_layout(monkeypatch: pytest.MonkeyPatch):
    made: list[object] = []
    monkeypatch.setattr(varlen, "lay_out", lambda *args: made.append(args))
    layout = Layout(THREE_TAILS)
    for _ in range(3):
        layout.once(varlen.lay_out, torch.device("cpu"))
    layout.once(varlen.lay_out, torch.device("meta"))
    assert len(made) == 2


SIX = [tiny_models.llama, qwen3, gemma2, tiny_models.gpt2, opt, tiny_models.mixtral, mistral]


@pytest.mark.parametrize("make", SIX)
def test_whole_models(make: Callable[[], PreTrainedModel], path: str):
    """Compare log-probs and gradients of each architecture by the path and by segments."""
    if make is gemma2 and path == "torch":
        pytest.skip("torch's kernel caps no scores, and is not asked to")
    model = prepare(make().eval())
    assert attention.packs(model)
    batch = collate(tiny_models.examples(seed=6, n=4, longest=16), prefix_sharing=True)
    weights = trainable(model)
    found = []
    for choice in (attention.choose, lambda _: backends.EVERY_CALL):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "choose", choice)
            logps = token_logps(model, batch, Precision.FP32)
            gradients = torch.autograd.grad(logps.sum(), list(weights.values()), allow_unused=True)
        known = {n: g for n, g in zip(weights, gradients, strict=True) if g is not None}
        found.append((logps, known))
    (logps, gradients), (expected, expected_gradients) = found
    torch.testing.assert_close(logps, expected, atol=1e-5, rtol=1e-5)
    assert reference.worst_gradient_error(gradients, expected_gradients)[0] <= 1e-5


# --- the choice -----------------------------------------------------------------------------------

THERE = replace(HERE, device=torch.device("cuda"), dtype=torch.bfloat16)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the check of kernels, and assume a torch that was built with its own kernel."""
    monkeypatch.setattr(backends, "what_is_wrong", lambda *_: None)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("call", "with_flash_attn", "without"),
    [
        (HERE, "segments", "segments"),
        (THERE, "flash-attn", "varlen"),
        (replace(THERE, window=True, long=False), "flash-attn", "varlen"),
        (replace(THERE, softcap=True), "flash-attn", "flex"),
        (replace(THERE, softcap=True, long=False), "flash-attn", "segments"),
        (replace(THERE, dtype=torch.float32), "flex", "flex"),
        (replace(THERE, dtype=torch.float32, long=False), "segments", "segments"),
        (replace(THERE, dtype=torch.float64), "segments", "segments"),
        (replace(THERE, size=320, value_size=320), "flex", "flex"),
        (replace(THERE, size=20, value_size=20), "flash-attn", "flex"),
        (replace(THERE, size=24, value_size=16), "flex", "flex"),
        (replace(THERE, size=8, value_size=8, softcap=True), "flash-attn", "segments"),
    ],
)
def test_the_first_that_can(
    call: Call, with_flash_attn: str, without: str, monkeypatch: pytest.MonkeyPatch
):
    assert choose(call).name == with_flash_attn
    backends.chosen.clear()
    monkeypatch.setattr(varlen, "_flash_attn", lambda: None)
    assert choose(call).name == without


@pytest.mark.usefixtures("trusted")
def test_an_old_torch_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(varlen, "_flash_attn", lambda: None)
    monkeypatch.setattr(varlen, "_torch", lambda: None)
    assert choose(THERE).name == "flex"


@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("softcap", [False, True])
@pytest.mark.parametrize("attend", PATHS.values(), ids=PATHS)
def test_a_right_kernel_passes_its_trial(attend: Attend, window: bool, softcap: bool):
    if softcap and attend is BY_TORCH:
        pytest.skip("torch's kernel caps no scores, and is not asked to")
    assert what_is_wrong(attend, replace(HERE, window=window, softcap=softcap)) is None


def _top_left(*args: Any, window_size: tuple[int, int], scale: float, **_: Any) -> Tensor:
    *tensors, longest_q, longest_k = args
    return kernels_by_hand.documented(
        *tensors, longest=(longest_q, longest_k), scale=scale, window=window_size,
        bottom_right=False,
    )  # fmt: skip


def _seen_too_little(*args: Any, window_size: tuple[int, int], **named: Any) -> Tensor:
    left = max(window_size[0] - 1, 0)
    return kernels_by_hand.varlen_attn(*args, window_size=(left, 0), **named)


def _fails(*_: object, **__: object) -> Tensor:
    raise RuntimeError("no kernel image is available for execution on the device")


@pytest.mark.parametrize(
    ("kernel", "window", "problem"),
    [
        (_top_left, False, "off by"), (_seen_too_little, True, "off by"),
        (_fails, False, "no kernel image"),
    ],
)  # fmt: skip
def test_a_wrong_kernel_is_left_out(
    kernel: Callable[..., Tensor],
    window: bool,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(varlen, "_torch", lambda: kernel)
    left_out = Backend("varlen", BY_TORCH, lambda _: None)
    monkeypatch.setattr(backends, "BACKENDS", (left_out, backends.EVERY_CALL))
    assert choose(replace(HERE, window=window)) is backends.EVERY_CALL
    assert problem in caplog.text
    choose(replace(HERE, window=window))
    assert len(caplog.records) == 1, "it is tried once"


def test_a_full_device_is_no_reason():
    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        what_is_wrong(full, HERE)


def test_a_trial_inside_a_layer_that_is_computed_twice(monkeypatch: pytest.MonkeyPatch):
    """The trial must not add to the layer's saved tensors, nor change the random state."""
    candidate = Backend("flash-attn", BY_FLASH_ATTN, lambda _: None)
    monkeypatch.setattr(backends, "BACKENDS", (candidate, backends.EVERY_CALL))
    once = prepare(tiny_models.llama())
    twice = copy.deepcopy(once)
    recompute_layers(twice)
    batch = collate(tiny_models.examples(seed=5, n=3), prefix_sharing=True)
    found = []
    for model in (twice, once):
        backends.chosen.clear()
        torch.manual_seed(5)
        token_logps(model, batch, Precision.FP32).sum().backward()
        assert {backend.name for backend in backends.chosen.values()} == {"flash-attn"}
        found.append({name: w.grad for name, w in trainable(model).items() if w.grad is not None})
        expected = torch.rand(1, generator=torch.Generator().manual_seed(5))
        assert torch.equal(torch.rand(1), expected)
    assert found[0].keys() == found[1].keys()
    assert reference.worst_gradient_error(*found)[0] <= 1e-6


@pytest.mark.slow
def test_what_is_compiled_for_two_lengths_serves_all(monkeypatch: pytest.MonkeyPatch):
    """Compile FlexAttention as for a GPU, except for the last stage, which makes the kernel."""
    compiled = cache(lambda function, _: torch.compile(function, backend="aot_eager"))
    monkeypatch.setattr(flex, "_fit", compiled)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    graphs = []
    for n in (6, 9, 12):
        segments = collate(tiny_models.examples(seed=n, n=n, longest=40), True).segments
        for window, softcap in ((None, None), (7 + n, float(n))):
            found = computed(flex.attend, segments, window=window, softcap=softcap)
            expected = computed(by_segment.attend, segments, window=window, softcap=softcap)
            for mine, right in zip(found, expected, strict=True):
                torch.testing.assert_close(mine, right, atol=1e-5, rtol=1e-5)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] < graphs[1] == graphs[2]


# --- torch's own ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("groups", "window"), [(4, None), (2, None), (2, 3)])
def test_torchs_kernel_takes_what_it_is_given(
    groups: int, window: int | None, monkeypatch: pytest.MonkeyPatch
):
    """Call the installed torch's kernel on meta tensors: check its arguments and output shapes."""
    monkeypatch.undo()
    varlen._torch.cache_clear()
    if varlen._torch() is None:
        pytest.skip("this torch has no such kernel")
    q, k, v = (
        torch.randn(1, heads, 23, 16, device="meta", dtype=torch.bfloat16, requires_grad=True)
        for heads in (4, groups, groups)
    )
    output = BY_TORCH(Layout(THREE_TAILS), q, k, v, 0.3, window, None)
    assert output.shape == (1, 23, 4, 16)
    gradients = torch.autograd.grad(output.sum(), (q, k, v))
    assert [g.shape for g in gradients] == [q.shape, k.shape, v.shape]
