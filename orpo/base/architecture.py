"""Checks that the weights are exactly those that a configuration's architecture needs.

Compares names and shapes; loads no weights. Without torch it compares the layers and the embeddings
only; the trainer compares the rest when it loads the model.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from itertools import islice
from typing import Any, cast

from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

from orpo.base.headers import Tensors
from orpo.base.weights import Problem

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
EXPERT = re.compile(r"(.*\bexperts)\.(\d{1,9})\.(.+)")
MOST_NAMED = 10_000
OTHER_PARTS = re.compile(r"vision|visual|audio|image")
# The types of numbers that are weights as they are; others stand for weights by a quantizer's rule.
WHOLE_TYPES = ("F64", "F32", "F16", "BF16")
SAME_MODEL = "Take weights and config.json from the same model."


def unusable(raw: Mapping[str, Any]) -> Problem | None:
    """Why the model that a config.json describes is never loaded, whatever its weights are."""
    own_code, kind = raw.get("auto_map"), raw.get("model_type")
    if own_code and not (isinstance(kind, str) and kind in CONFIG_MAPPING):
        return Problem(
            "The model needs code of its own (auto_map in config.json), which is never run: "
            f"transformers knows no model_type `{str(kind)[:100]}`.",
            "Choose a model whose architecture transformers knows by itself.",
        )
    text = raw.get("text_config")
    for part in (raw, text if isinstance(text, Mapping) else {}):
        kinds = (part.get(key) for key in ("quantization_config", "compression_config"))
        if (quantizer := next((kind for kind in kinds if kind is not None), None)) is not None:
            method = quantizer.get("quant_method") if isinstance(quantizer, Mapping) else None
            return Problem(
                "The weights are quantised (quantization_config in config.json: "
                f"{str(method or 'of an unnamed method')[:100]}); such weights can't be trained.",
                "Take the model in bf16, fp16 or fp32. For less memory, set tuning to qlora, which "
                "quantises by itself.",
            )
    return None


def problems(config: PreTrainedConfig, tensors: Tensors) -> list[Problem]:
    """Each kind of difference between the files and what `config` describes."""
    if found := misnamed(tensors):
        return [found]
    if find_spec("torch") is None:
        sentences = _by_name(config.get_text_config(), tensors)
    else:
        sentences = _by_loading(config, tensors)
    return [Problem(sentence, SAME_MODEL) for sentence in sentences]


def misnamed(tensors: Tensors) -> Problem | None:
    """Why the tensors can't be those of any plain model, by their names and types alone."""
    if wrapped := wrapper_of(tensors):
        return Problem(
            wrapped,
            "Save the model inside the wrapper instead (`merge_and_unload()` for an adapter), or "
            "take this part out of every tensor's name.",
        )
    packed = [
        f"{name} ({tensor['dtype']})"
        for name, tensor in tensors.items()
        if name.endswith("weight") and tensor["dtype"] not in WHOLE_TYPES
    ]
    if packed:
        return Problem(
            f"Tensors are quantised, or stored in a type that can't be trained: {_some(packed)}.",
            "Take the model in bf16, fp16 or fp32.",
        )
    if gaps := _gaps(tensors):
        return Problem(gaps, SAME_MODEL)
    return None


def _gaps(tensors: Tensors) -> str | None:
    """A sentence if experts lack tensors that others of their layer have, or differ in shape.

    transformers joins the experts of a layer in the order of their numbers, whatever these are.
    """
    parts: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
    counts: dict[str, int] = defaultdict(int)
    for name, tensor in tensors.items():
        if found := EXPERT.fullmatch(name):
            layer, number, part = found[1], int(found[2]), found[3]
            parts[layer, part][number] = tensor["shape"]
            counts[layer] = max(counts[layer], number + 1)
    missing = (
        f"{layer}.{number}.{part}"
        for (layer, part), shapes in parts.items()
        for number in range(counts[layer])
        if number not in shapes
    )
    if some := sorted(islice(missing, MOST_NAMED)):
        return f"The weights lack tensors of experts: {_some(some)}."
    others = [
        f"{layer}.{number}.{part} is {shape}, not {shapes[0]}"
        for (layer, part), shapes in parts.items()
        for number, shape in shapes.items()
        if shape != shapes[0]
    ]
    return f"Experts of a layer differ in shape: {_some(sorted(others))}." if others else None


def wrapper_of(names: Iterable[str]) -> str | None:
    """A sentence if names of tensors contain the name of a wrapper; otherwise None."""
    wrapped = [(name, found) for name in names if (found := _wrapper(name))]
    if not wrapped:
        return None
    kinds = ", ".join(f"`{kind}`" for kind in dict.fromkeys(kind for _, kind in wrapped))
    names = _some([name for name, _ in wrapped])
    return f"Tensors ({len(wrapped)}) were saved inside a wrapper ({kinds}): {names}."


def _wrapper(name: str) -> str | None:
    inside = INSIDE.search(name)
    return next(filter(name.startswith, WRAPPERS), inside and inside[0].strip("."))


def _by_loading(config: PreTrainedConfig, tensors: Tensors) -> list[str]:
    """Let transformers load tensors without content into a model without content."""
    import torch  # noqa: PLC0415  the check also runs without torch
    from transformers.models.auto.modeling_auto import (  # noqa: PLC0415  imports torch
        MODEL_FOR_CAUSAL_LM_MAPPING,
    )

    model = cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    text = config.sub_configs.get("text_config")
    if text is not None and model.config_class is text:  # as AutoModelForCausalLM does
        config = config.get_text_config()
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
