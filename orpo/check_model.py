"""`python -m orpo.check_model DIR`: can this folder be a base model? Answers with one JSON object.

Reads configuration and the headers of the weight files; never loads the weights, never runs code
that comes with the model.
"""

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from orpo.manifest import sha256, weights_digest
from orpo.special_text import special_strings
from orpo.tokenize import load_tokenizer, template_name
from orpo.verbs import answer

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


@dataclass
class Check:
    """What was found in the folder, and what is missing with a hint for each."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)

    def problem(self, what: str, hint: str) -> None:
        """Note something that keeps the folder from being a base model."""
        self.problems.append({"what": what, "hint": hint})

    def to_json(self) -> dict[str, Any]:
        """`{ok, problems, ...facts}`."""
        return {"ok": not self.problems, "problems": self.problems, **self.facts}


def check(folder: Path) -> Check:
    """Look at a model folder; every problem is found, not only the first."""
    result = Check(folder)
    if not folder.is_dir():
        result.problem(f"{folder} is not a folder.", "Name a folder with a model's files.")
        return result
    config = _config(result)
    tensors = _weights(result)
    vocabulary = _tokenizer(result)
    if config is not None:
        _describe(result, config, vocabulary)
    if tensors:
        result.facts["parameters"] = sum(math.prod(t["shape"]) for t in tensors.values())
        dtypes = [t["dtype"] for t in tensors.values()]
        result.facts["dtype"] = max(set(dtypes), key=dtypes.count).lower()
    return result


def _config(result: Check) -> PretrainedConfig | None:
    path = result.folder / "config.json"
    if not path.is_file():
        result.problem("config.json is missing.", "Copy the whole model folder, as it came.")
        return None
    try:
        raw = json.loads(path.read_text())
        if "auto_map" in raw:
            result.problem(
                "The model needs code of its own (auto_map in config.json), which is never run.",
                "Choose a model whose architecture transformers knows by itself.",
            )
            return None
        return AutoConfig.from_pretrained(result.folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        result.problem(f"config.json can't be read: {error}", "Copy the model folder again.")
        return None


def _describe(result: Check, config: PretrainedConfig, vocabulary: int | None) -> None:
    text = config.get_text_config()
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    architecture = (config.architectures or [known.get(config.model_type)])[0]
    if config.model_type not in known or architecture not in known.values():
        result.problem(
            f"{architecture} (`{config.model_type}`) is not a causal language model here.",
            "Choose a decoder-only text model, such as Llama, Qwen, Gemma or SmolLM.",
        )
    if vocabulary is not None and vocabulary > text.vocab_size:
        result.problem(
            f"The tokenizer has {vocabulary} tokens, the model only {text.vocab_size}.",
            "Take the tokenizer and the weights from the same model.",
        )
    result.facts["architecture"] = architecture
    result.facts["vocab_size"] = text.vocab_size
    result.facts["context_length"] = getattr(text, "max_position_embeddings", None)


def _weights(result: Check) -> dict[str, dict[str, Any]]:
    paths = _weight_files(result)
    tensors: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            tensors |= read_header(path)
        except (OSError, ValueError) as error:
            result.problem(f"{path.name} is damaged: {error}", "Copy or download it again.")
    digests = {path.name: {"sha256": sha256(path)} for path in paths}
    result.facts["size_bytes"] = sum(path.stat().st_size for path in paths)
    result.facts["sha256"] = weights_digest(digests, "") if digests else None
    return tensors


def _weight_files(result: Check) -> list[Path]:
    index = result.folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        missing = [name for name in names if not (result.folder / name).is_file()]
        if missing:
            result.problem(f"{', '.join(missing)} missing.", "Copy every shard of the model.")
        return [result.folder / name for name in names if name not in missing]
    found = sorted(result.folder.glob("model*.safetensors"))
    if not found and (result.folder / "adapter_model.safetensors").is_file():
        result.problem("This is an adapter, not a model.", "Merge it first, or name its base.")
    elif not found and any(next(result.folder.glob(p), None) for p in PICKLED):
        result.problem(
            "The weights are pickled (.bin or .pt); loading such files can run any code.",
            "Convert them to safetensors, or take a revision that has them.",
        )
    elif not found:
        result.problem("There are no weights.", "model.safetensors must lie in the folder.")
    return found


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Names, dtypes and shapes of a safetensors file; ValueError where it is cut or broken."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size <= MAX_HEADER_BYTES:
            raise ValueError("its header has an impossible length.")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if path.stat().st_size != 8 + size + end:
        raise ValueError("it is shorter or longer than its header says.")
    return header


def _tokenizer(result: Check) -> int | None:
    if not any((result.folder / name).is_file() for name in TOKENIZER_FILES):
        result.problem("The tokenizer is missing.", "Copy tokenizer.json beside the weights.")
        return None
    try:
        tokenizer = load_tokenizer(result.folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        result.problem(f"The tokenizer can't be read: {error}", "Copy the model folder again.")
        return None
    result.facts["has_chat_template"] = template_name(tokenizer) == "model"
    result.facts["special_tokens"] = special_strings(tokenizer)
    return len(tokenizer)


def main(folder: Path) -> int:
    """Print the check; a folder that can't be a base model is an answer too, of status 0."""
    return answer(lambda: check(folder).to_json())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
