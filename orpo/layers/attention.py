"""Attention over packed sequences that may share a prefix, plugged into transformers' models.

Knows layouts (where each sequence's prefix and tail lie) and models; `backends.py` chooses the
kernel. Outside `layout(...)` the registered function is plain SDPA, so that generation works on the
same model.

Shapes: 1 the packed batch, H query heads, G key/value heads, T packed tokens, D head size.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from orpo.layers.backends import choose
from orpo.layers.by_segment import dense
from orpo.layers.layout import Call, Layout
from orpo.layers.widen import widened
from orpo.tokens.pack import Segment

NAME = "oddsmith"
KNOWN_LAYERS = {"full_attention", "sliding_attention"}
# Additional inputs of rare attention variants: to ignore one silently would give wrong results.
UNKNOWN_INPUTS = ("s_aux", "position_bias", "cache")
TOLERANCE = 1e-4  # of hidden states on a shared prefix, in fp32
PROBE_PREFIX, PROBE_CHOSEN, PROBE_REJECTED = [1, 2, 3], [4, 5], [6, 7, 8]


_current: Layout | None = None
_refused: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


@contextlib.contextmanager
def layout(segments: Sequence[Segment]) -> Iterator[Layout]:
    """While open, the registered attention treats its tokens as `segments` of one packed row."""
    global _current  # noqa: PLW0603  the function is called from inside models, with no room for more
    before, _current = _current, Layout(segments)
    try:
        yield _current
    finally:
        _current = before


def twice() -> tuple[
    contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]
]:
    """The context functions of torch's checkpointing, for a layer that the backward pass recomputes
    after the layout is closed: the second context opens the layout again.
    """
    return contextlib.nullcontext(), _again(_current)


@contextlib.contextmanager
def _again(held: Layout | None) -> Iterator[None]:
    global _current  # noqa: PLW0603  as above
    before, _current = _current, held
    try:
        yield
    finally:
        _current = before


def attend(  # noqa: PLR0917  the order is transformers'
    module: nn.Module,
    query_1HTD: Tensor,
    key_1GTD: Tensor,
    value_1GTD: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,  # noqa: ARG001  off for good: see policy.prepare
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of the current layout, as transformers' interface wants it: [1, T, H, D].

    Each prefix attends to itself causally, each tail to its prefix and itself. Raises
    NotImplementedError for unknown inputs.
    """
    # Under autocast rotary embeddings return fp32 queries and keys beside bf16 values.
    query_1HTD, key_1GTD = query_1HTD.to(value_1GTD.dtype), key_1GTD.to(value_1GTD.dtype)
    if _current is None:
        return _plain(
            module, query_1HTD, key_1GTD, value_1GTD, attention_mask, scaling, softcap, **kwargs
        )
    for name in UNKNOWN_INPUTS:
        if kwargs.get(name) is not None:
            raise NotImplementedError(f"This model's attention takes {name}, which is not known.")
    _current.calls += 1
    scale: float = query_1HTD.shape[-1] ** -0.5 if scaling is None else scaling
    call = Call.of(query_1HTD, key_1GTD, value_1GTD, sliding_window, softcap)
    # Autocast would compute the softmax in fp32; the kernels already accumulate in fp32.
    with torch.autocast(value_1GTD.device.type, enabled=False):
        output_1THD = choose(call).attend(
            _current, query_1HTD, key_1GTD, value_1GTD, scale, sliding_window, softcap
        )
    return output_1THD, None


def _plain(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention outside a layout, as in generation: SDPA, or `dense` for capped scores, which SDPA
    lacks.
    """
    if softcap is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, mask, scaling=scaling, **kwargs
        )
        return output, None
    output = dense(query, key, value, mask, scaling, softcap)
    return output.transpose(1, 2).contiguous(), None


def _mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """The mask that transformers would build: None inside a layout, which has its own mask."""
    return sdpa_mask(*args, **kwargs) if _current is None else None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _mask)


def packs(model: PreTrainedModel) -> bool:
    """Whether the model's attention is this module's; if not, its sequences must be computed one by
    one.
    """
    return model.config._attn_implementation == NAME  # noqa: SLF001  no public name exists


def why_not(model: PreTrainedModel) -> str | None:
    """The reason why `install` did not replace the model's attention, or None."""
    return _refused.get(model)


def install(model: PreTrainedModel) -> None:
    """Make `model` use this module's attention.

    A model that can't is unchanged (see `why_not`), and is trained one sequence at a time. The
    check runs in fp32: the noise of bf16 is as large as an error.
    """
    before = model.config._attn_implementation or "eager"  # noqa: SLF001
    if not model._can_set_attn_implementation():  # noqa: SLF001
        _refused[model] = f"{type(model).__name__} does not let its attention be replaced"
        return
    with torch.no_grad(), widened(model):
        own_TD = _hidden(model, PROBE_PREFIX + PROBE_REJECTED, [0, 1, 2, 3, 4, 5])
        model.set_attn_implementation(NAME)
        problem = check_calls(model, own_TD)
    if problem:
        model.set_attn_implementation(before)
        _refused[model] = problem


def check_calls(model: PreTrainedModel, own_TD: Tensor) -> str | None:
    """Run a tiny packed forward and say why this architecture can't be packed, or None.

    Some architectures accept another attention and never call it, or have layers that see across
    sequences. So this counts the calls, and compares the hidden states of a rejected side on a
    shared prefix with `own_TD`: those of a plain row through the model's own attention.
    """
    config = model.config.get_text_config()
    unknown = set(getattr(config, "layer_types", None) or ()) - KNOWN_LAYERS
    if unknown:
        return f"layers of type {', '.join(sorted(unknown))} see across packed sequences"
    ids = PROBE_PREFIX + PROBE_CHOSEN + PROBE_REJECTED
    try:
        with layout([Segment(0, 0, 3, 3, 5), Segment(1, 0, 3, 5, 8)]) as current:
            packed_TD = _hidden(model, ids, [0, 1, 2, 3, 4, 3, 4, 5])
    except NotImplementedError as error:
        return str(error)
    if current.calls != config.num_hidden_layers:
        return f"{current.calls} of {config.num_hidden_layers} layers called the attention"
    error = (packed_TD[5:] - own_TD[3:]).norm() / own_TD[3:].norm()
    return None if error < TOLERANCE else f"a shared prefix moves hidden states by {error:.1e}"


def _hidden(model: PreTrainedModel, ids: list[int], positions: list[int]) -> Tensor:
    device = model.device
    output = model.base_model(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        use_cache=False,
    )
    return output.last_hidden_state[0]
