"""A model folder as a GGUF file: its configuration as metadata, and its tensors under llama.cpp's
names.

Keys and layouts follow llama.cpp's converter (github.com/ggml-org/llama.cpp, conversion/). One
tensor at a time is in memory. Knows nothing of checkpoints.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quant_shape_to_byte_shape, quantize
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from orpo.base.files import blaming, weight_files
from orpo.contract.failures import Code, Failure
from orpo.gguf.vocabulary import add_vocabulary
from orpo.model.merge import to_bf16
from orpo.tokens.templates import load_tokenizer

# By transformers' `model_type`. The tests read each of them back.
ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
}
ROPE_FACTORS = "rope_freqs.weight"


class Type(StrEnum):
    """The type in which matrices are stored; vectors are always fp32."""

    F32 = "f32"
    BF16 = "bf16"
    F16 = "f16"
    Q8_0 = "q8_0"


FILE_TYPES = {
    Type.F32: LlamaFileType.ALL_F32,
    Type.BF16: LlamaFileType.MOSTLY_BF16,
    Type.F16: LlamaFileType.MOSTLY_F16,
    Type.Q8_0: LlamaFileType.MOSTLY_Q8_0,
}


@dataclass(frozen=True)
class Entry:
    """A tensor of the file; `values` reads it as fp32."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    values: Callable[[], Tensor]


def load_config(folder: Path) -> PreTrainedConfig:
    """The configuration of a local model folder."""
    with blaming(f"config.json in {folder}"):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def architecture_of(config: PreTrainedConfig) -> MODEL_ARCH:
    """llama.cpp's architecture for a model; raises Failure(`not_exportable`), which lists the
    supported types.
    """
    why = _why_not(config)
    if why is not None:
        raise Failure(Code.NOT_EXPORTABLE, why, "Take the merged weights, as safetensors.")
    return ARCHITECTURES[config.model_type]


def _why_not(config: PreTrainedConfig) -> str | None:
    if config.model_type not in ARCHITECTURES:
        known = f"only {', '.join(ARCHITECTURES)}"
        return f"Models of type {config.model_type} can't be written as GGUF here: {known}."
    scaling = config.rope_parameters.get("rope_type", "default")
    if scaling not in ("default", "llama3"):
        return f"RoPE scaled as `{scaling}` can't be written as GGUF here: only `llama3`, or none."
    window = getattr(config, "sliding_window", None)
    if window is not None and window < config.max_position_embeddings:
        return f"GGUF has no sliding window for {config.model_type}: `sliding_window` is {window}."
    if getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False):
        return "Biases of attention or MLP can't be written as GGUF here, except those of qwen2."
    return None


def write(folder: Path, file: Path, kind: Type) -> None:
    """Write the model in `folder` to `file`; raises Failure(`not_exportable`)."""
    config = load_config(folder)
    writer = GGUFWriter(file, gguf.MODEL_ARCH_NAMES[architecture_of(config)])
    try:
        _add_shape(writer, config, kind)
        add_vocabulary(writer, load_tokenizer(folder), config.vocab_size)
        entries = list(_entries(folder, config, kind))
        for entry in entries:
            size_bytes = math.prod(quant_shape_to_byte_shape(entry.shape, entry.kind))
            writer.add_tensor_info(
                entry.name, entry.shape, np.dtype(np.float32), size_bytes, raw_dtype=entry.kind
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        chance = torch.Generator().manual_seed(0)
        for entry in entries:
            values = entry.values()
            if entry.kind is GGMLQuantizationType.BF16:
                values = to_bf16(values, chance).float()
            writer.write_tensor_data(quantize(values.numpy(), entry.kind))
    finally:
        writer.close()


def _add_shape(writer: GGUFWriter, config: PreTrainedConfig, kind: Type) -> None:
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim(config))
    writer.add_value_length(head_dim(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head_dim(config))
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)


def head_dim(config: PreTrainedConfig) -> int:
    """The width of one attention head."""
    given = getattr(config, "head_dim", None)
    return given or config.hidden_size // config.num_attention_heads


def _entries(folder: Path, config: PreTrainedConfig, kind: Type) -> Iterator[Entry]:
    if config.rope_parameters.get("rope_type") == "llama3":
        factors = _rope_factors(config)
        yield Entry(ROPE_FACTORS, tuple(factors.shape), GGMLQuantizationType.F32, lambda: factors)
    names = gguf.get_tensor_name_map(architecture_of(config), config.num_hidden_layers)
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as weights:
            shapes = {key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
        for key, shape in shapes.items():
            if key.endswith("inv_freq") or (key == "lm_head.weight" and config.tie_word_embeddings):
                continue
            name = names.get_name(key, try_suffixes=(".weight", ".bias"))
            if name is None:
                message = f"GGUF has no name for the tensor {key}."
                raise Failure(Code.NOT_EXPORTABLE, message, "Take the merged weights.")
            yield Entry(name, shape, _kind(shape, kind), partial(_values, path, key, config))


def _kind(shape: tuple[int, ...], wanted: Type) -> GGMLQuantizationType:
    """fp32 for vectors, as llama.cpp needs; f16 for a matrix whose rows are not a multiple of 32
    long.
    """
    if len(shape) < 2:
        return GGMLQuantizationType.F32
    if wanted is Type.Q8_0 and shape[-1] % 32:
        return GGMLQuantizationType.F16
    return GGMLQuantizationType[wanted.name]


def _values(path: Path, key: str, config: PreTrainedConfig) -> Tensor:
    with safe_open(path, framework="pt") as weights:
        values = weights.get_tensor(key).float()
    if architecture_of(config) is MODEL_ARCH.LLAMA:
        if key.endswith("q_proj.weight"):
            return in_pairs(values, config.num_attention_heads)
        if key.endswith("k_proj.weight"):
            return in_pairs(values, config.num_key_value_heads)
    return values


def in_pairs(weight: Tensor, heads: int) -> Tensor:
    """Reorder each head's rows so that the two rows that RoPE rotates together are neighbours:
    [heads * d, D].

    transformers rotates row i with row i + d/2; llama.cpp's llama rotates 2i with 2i + 1.
    """
    halves = weight.reshape(heads, 2, -1, weight.shape[1])
    return halves.transpose(1, 2).reshape(weight.shape).contiguous()


def _rope_factors(config: PreTrainedConfig) -> Tensor:
    """llama.cpp's divisors for RoPE's frequencies, one for each pair of rows, [d/2]."""
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    dim = head_dim(config)
    exponents = torch.arange(0, dim, 2, dtype=torch.float32) / dim
    return config.rope_parameters["rope_theta"] ** -exponents / scaled
