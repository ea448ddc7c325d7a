"""`python -m orpo.merge CHECKPOINT_DIR OUT_DIR`: an adapter folded into its base, as one model.

The result is a bf16 safetensors folder with tokenizer and chat template that transformers and vLLM
load. A full fine-tune is copied as it is. Knows PEFT; knows no runs.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from orpo.manifest import verify
from orpo.tokenize import load_tokenizer
from orpo.verbs import answer, folder_facts


def merge(checkpoint: Path, out: Path) -> None:
    """Verify the checkpoint and write the merged model to `out`, all or nothing.

    The sum is formed in fp32 and rounded to bf16 once. Raises Damaged when a file has changed.
    """
    verify(checkpoint)
    temporary = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    if (checkpoint / "adapter").is_dir():
        _fold(checkpoint / "adapter", temporary)
    else:
        shutil.copytree(checkpoint / "model", temporary)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


def _fold(adapter: Path, out: Path) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    base = AutoModelForCausalLM.from_pretrained(
        settings["base_model_name_or_path"],
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
    )
    merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    merged.to(torch.bfloat16).save_pretrained(out)
    load_tokenizer(adapter).save_pretrained(out)


def main(checkpoint: Path, out: Path) -> int:
    """Merge and print `{path, size_bytes}`."""

    def work() -> dict[str, Any]:
        merge(checkpoint, out)
        return folder_facts(out)

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
