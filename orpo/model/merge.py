"""`python -m orpo.merge CHECKPOINT_DIR OUT_DIR`: an adapter folded into its base, as one model.

The result is a bf16 safetensors folder with tokenizer and chat template that transformers and vLLM
load; of a reward model, what transformers' AutoModelForSequenceClassification loads. A full
fine-tune is copied as it is. Knows PEFT; knows no runs.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orpo.base import files as base_files
from orpo.contract import rundir
from orpo.contract.manifest import verify
from orpo.layers.peft import PeftModel
from orpo.model.base_model import load_whole
from orpo.model.score_head import score_head, with_score
from orpo.process.verbs import answer, folder_facts
from orpo.tokens.templates import load_tokenizer


def merge(checkpoint: Path, out: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Verify the checkpoint and write the merged model to `out`, all or nothing.

    The sum is computed in fp32 and, unless `dtype` is fp32, stochastically rounded to bf16 once.
    Raises Damaged if a file has changed.
    """
    verify(checkpoint)
    temporary = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    if (checkpoint / rundir.ADAPTER).is_dir():
        _fold(checkpoint / rundir.ADAPTER, temporary, dtype)
    else:
        shutil.copytree(checkpoint / rundir.MODEL, temporary)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


def _fold(adapter: Path, out: Path, dtype: torch.dtype) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    folder, noted = Path(settings["base_model_name_or_path"]), adapter.parent / rundir.BASE
    known = json.loads(noted.read_text()) if noted.is_file() else {"sha256": None, "files": None}
    with base_files.unchanged(folder, **known):
        base = load_whole(folder, torch.float32)
    judge = adapter.parent / rundir.JUDGE
    if judge.is_file():
        base = with_score(base, 0, json.loads(judge.read_text())["pad_token_id"])
    merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    exact = score_head(merged).weight.data.clone() if judge.is_file() else None
    if dtype is torch.bfloat16:
        chance = torch.Generator().manual_seed(0)
        for parameter in merged.parameters():
            parameter.data = to_bf16(parameter.data, chance)
    merged.to(dtype)
    if exact is not None:  # a score stays in fp32
        score_head(merged).weight.data = exact
    merged.save_pretrained(out)
    load_tokenizer(adapter).save_pretrained(out)


def to_bf16(weight: Tensor, chance: torch.Generator) -> Tensor:
    """Round fp32 to bf16, up with a probability equal to the fraction that is cut off.

    The change that an adapter makes is often less than half of bf16's spacing. Rounding to the
    nearest would lose most of it: after 4 steps of SmolLM2-135M, 89 % of the changed weights
    equalled the base's again, and log-probs differed from the policy's by up to 1.4 nats. With
    stochastic rounding they differ by at most 0.03, as the errors cancel in each sum. A weight that
    bf16 holds exactly is unchanged. Stochastic rounding: arXiv 1502.02551, section 3.
    """
    low = torch.randint(0, 2**16, weight.shape, dtype=torch.int32, generator=chance)
    bits = (weight.contiguous().view(torch.int32) + low) & -(2**16)
    return bits.view(torch.float32).bfloat16()


def main(checkpoint: Path, out: Path) -> int:
    """Merge and print `{path, size_bytes}`."""

    def work() -> dict[str, Any]:
        merge(checkpoint, out)
        return folder_facts(out)

    return answer(work)
