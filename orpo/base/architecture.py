"""Checks that the weights are exactly those that a configuration's architecture needs.

Compares names and shapes; loads no weights. Without torch it compares the layers and the embeddings
only; the trainer compares the rest when it loads the model.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, cast

from transformers import PreTrainedConfig, PreTrainedModel

from orpo.base.headers import Tensors

# Prefixes (or infixes) that wrappers add to the names of their tensors.
WRAPPERS = (
    "_orig_mod.", "module.", "base_model.model.", "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
)  # fmt: skip
INSIDE = re.compile(
    r"\.(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.|\.lora_[AB]\."
)
# Constants that older releases stored beside the weights; each model computes its own.
CONSTANTS = re.compile(
    r"(rotary_emb\.(original_)?inv_freq|rope\.freqs|\.masked_bias|\.position_ids)$"
)
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
EMBEDDINGS = re.compile(
    r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$"
)
OTHER_PARTS = re.compile(r"vision|visual|audio|image")


def problems(config: PreTrainedConfig, tensors: Tensors) -> list[str]:
    """A sentence for each kind of difference between the files and what `config` describes."""
    if wrapped := wrapper_of(tensors):
        return [wrapped]
    is_quantized = getattr(config, "quantization_config", None) is not None
    if find_spec("torch") is None or is_quantized:  # a quantizer stores tensors of its own
        return _by_name(config.get_text_config(), tensors)
    return _by_loading(config, tensors)


def wrapper_of(names: Iterable[str]) -> str | None:
    """A sentence if a tensor's name contains the name of a wrapper; otherwise None."""
    for name in names:
        inside = INSIDE.search(name)
        found = next(filter(name.startswith, WRAPPERS), inside and inside[0].strip("."))
        if found:
            return f"The tensor {name[:200]} was saved inside a wrapper (`{found}`)."
    return None


def _by_loading(config: PreTrainedConfig, tensors: Tensors) -> list[str]:
    """Let transformers load tensors without content into a model without content."""
    import torch  # noqa: PLC0415  the check also runs without torch
    from transformers.models.auto.modeling_auto import (  # noqa: PLC0415  imports torch
        MODEL_FOR_CAUSAL_LM_MAPPING,
    )

    model = cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    empty = {name: torch.empty(t["shape"], device="meta") for name, t in tensors.items()}
    loaded: Any = model.from_pretrained(
        None,
        config=config,
        state_dict=empty,
        device_map="meta",
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    return differences(model.__name__, loaded[1])


def differences(model: str, info: Mapping[str, Any]) -> list[str]:
    """The sentences for what transformers reports about a load (`output_loading_info`)."""
    found = []
    if missing := sorted(info["missing_keys"]):
        found.append(f"The weights lack tensors that {model} needs: {_some(missing)}.")
    others = sorted(f"{name} is {list(a)}, not {list(b)}" for name, a, b in info["mismatched_keys"])
    if others:
        found.append(f"The weights do not fit config.json: {_some(others)}.")
    extra = sorted(name for name in info["unexpected_keys"] if not CONSTANTS.search(name))
    if extra:
        found.append(
            f"The weights hold tensors that {model} does not have according to config.json: "
            f"{_some(extra)}."
        )
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(name[:200] for name in names[:3]) + more


def _by_name(config: PreTrainedConfig, tensors: Tensors) -> list[str]:
    found = []
    text = {name: t["shape"] for name, t in tensors.items() if not OTHER_PARTS.search(name)}
    layers = 1 + max((int(m[1]) for name in text if (m := LAYER.search(name))), default=-1)
    wanted = getattr(config, "num_hidden_layers", None)
    further = getattr(config, "num_nextn_predict_layers", None) or 0
    if layers and isinstance(wanted, int) and not wanted <= layers <= wanted + further:
        found.append(f"The weights have {layers} layers, config.json names {wanted}.")
    for name, shape in text.items():
        if EMBEDDINGS.search(name) and shape[:1] != [config.vocab_size]:
            found.append(f"{name} has {shape[:1]} rows, config.json names {config.vocab_size}.")
    return found
