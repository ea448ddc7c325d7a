"""Loads a base model's weights, completely or not at all.

Knows transformers; knows nothing of what is trained or measured. Never runs code from a model's
folder.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from orpo.base import architecture, weights
from orpo.base import files as base_files
from orpo.base.files import ADAPTER, bad_model, blaming


def load_whole(
    path: Path, dtype: torch.dtype | Literal["auto"], kind: Any = AutoModelForCausalLM
) -> PreTrainedModel:
    """The causal language model of a local safetensors folder, in `dtype` or as it is stored; or
    the model of another `kind` of transformers' classes.

    Every weight comes from the files: raises Failure(`bad_model`) if one is missing, has another
    shape or has no place in the model, and if the weights are quantised. An adapter that lies
    beside the weights is not applied. Raises OSError if the folder can't be read at the moment.
    """
    files, strays = base_files.look(path)
    if strays:
        raise bad_model(f"{path} can't be a model: {strays[0]}")
    _check(path)
    with blaming(f"The weights and config.json in {path}"), _without_adapter(path, files) as folder:
        loaded: Any = kind.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `differences` names them all
        )
    model, info = loaded
    if found := architecture.differences(type(model).__name__, info):
        raise bad_model(f"{path} can't be a model: {' '.join(found)}", architecture.SAME_MODEL)
    model.name_or_path = model.config.name_or_path = str(path)
    return model


def _check(path: Path) -> None:
    """Raise Failure(`bad_model`) for what configuration and headers show before anything is
    loaded.
    """
    with blaming(f"The weights and config.json in {path}"):
        tensors = weights.read(path)
        if not (path / "config.json").is_file():
            raise bad_model(f"{path} can't be a model: config.json is missing.")
        config = base_files.read_json(path / "config.json")
        found = architecture.unusable(config) or architecture.misnamed(tensors)
    if found:
        raise bad_model(f"{path} can't be a model: {found.what}", found.hint)


@contextmanager
def _without_adapter(path: Path, files: Mapping[str, Any]) -> Iterator[Path]:
    """The folder; where an adapter lies in it, a folder of links to all the other files.

    transformers applies such an adapter, and has no setting against it.
    """
    if not any(name in files for name in ADAPTER):
        yield path
        return
    with tempfile.TemporaryDirectory() as made:
        for name in files:
            if name not in ADAPTER and "/" not in name:
                (Path(made) / name).symlink_to((path / name).absolute())
        yield Path(made)
