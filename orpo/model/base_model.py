"""Loads a base model's weights, completely or not at all.

Knows transformers; knows nothing of what is trained or measured. Never runs code from a model's
folder.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from orpo.base import architecture
from orpo.base import files as base_files
from orpo.base.files import ADAPTER, bad_model, blaming


def load_whole(path: Path, dtype: torch.dtype | Literal["auto"]) -> PreTrainedModel:
    """The causal language model of a local safetensors folder, in `dtype` or as it is stored.

    Every weight comes from the files: raises Failure(`bad_model`) if one is missing, has another
    shape or has no place in the model. Raises it also for an adapter beside the weights, which
    transformers would apply by itself. Raises OSError if the folder can't be read at the moment.
    """
    files, problems = base_files.look(path)
    problems += [f"{name} lies beside the weights." for name in ADAPTER if name in files]
    if problems:
        raise bad_model(f"{path} can't be a model: {problems[0]}")
    with blaming(f"The weights and config.json in {path}"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `differences` names them all
        )
    model, info = loaded
    wrapped = architecture.wrapper_of(info["unexpected_keys"])
    found = [wrapped] if wrapped else architecture.differences(type(model).__name__, info)
    if found:
        raise bad_model(f"{path} can't be a model: {' '.join(found)}")
    return model
