"""`python -m orpo.merge CHECKPOINT_DIR OUT_DIR`: an adapter folded into its base, as one model.
`python -m orpo.fold ADAPTER_DIR BASE_DIR OUT_DIR SHA256`: the same for an adapter made elsewhere.

The result is a bf16 safetensors folder with tokenizer and chat template that transformers and vLLM
load; of a reward model, what transformers' AutoModelForSequenceClassification loads. A full
fine-tune is copied as it is. Knows PEFT; knows no runs.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from orpo.base import files as base_files
from orpo.contract import rundir
from orpo.contract.failures import Code, Failure
from orpo.contract.manifest import sha256, verify
from orpo.layers.peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from orpo.model.base_model import load_whole
from orpo.model.score_head import score_head, with_score
from orpo.process.verbs import answer, folder_facts
from orpo.tokens.templates import load_tokenizer

ADAPTER_SETTINGS, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# The settings of PEFT's LoraConfig that change what a trained adapter computes.
OF_LORA = (
    "alpha_pattern", "bias", "exclude_modules", "fan_in_fan_out", "layers_pattern",
    "layers_to_transform", "lora_alpha", "lora_bias", "modules_to_save", "r", "rank_pattern",
    "target_modules", "target_parameters", "use_dora", "use_rslora",
)  # fmt: skip


def merge(checkpoint: Path, out: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Verify the checkpoint and write the merged model to `out`, all or nothing.

    The sum is computed in fp32 and, unless `dtype` is fp32, stochastically rounded to bf16 once.
    Raises Damaged if a file has changed.
    """
    verify(checkpoint)
    with _whole(out) as temporary:
        if (checkpoint / rundir.ADAPTER).is_dir():
            _fold(checkpoint / rundir.ADAPTER, temporary, dtype)
        else:
            shutil.copytree(checkpoint / rundir.MODEL, temporary)


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder to write, which becomes `out` if nothing is raised."""
    temporary = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    yield temporary
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


def fold(adapter: Path, base: Path, out: Path, digest: str) -> None:
    """Write a base with a LoRA adapter of PEFT's format that was made elsewhere to `out`.

    `digest` is the sha256 of its safetensors file. The tokenizer and the template are the base's;
    tokens that only the adapter's own tokenizer has are not known. Raises Failure(`bad_model`) if
    the adapter has changed, is no LoRA, or is one of another base.
    """
    weights = adapter / ADAPTER_WEIGHTS
    if sha256(weights) != digest:
        raise _refusal(f"{weights.name} has changed since it was registered.")
    try:
        config = LoraConfig(**_settings(adapter))
        model = get_peft_model(load_whole(base, torch.float32), config)
        found = load_file(weights)
        loaded = set_peft_model_state_dict(model, found)
    except (RuntimeError, TypeError, ValueError) as error:
        raise _refusal(f"It does not fit its base: {str(error).splitlines()[0][:300]}") from None
    absent = [name for name in loaded.missing_keys if "lora_" in name]
    if strangers := [*loaded.unexpected_keys, *absent]:
        raise _refusal(f"It does not fit its base: {len(strangers)} names, such as {strangers[0]}.")
    with _whole(out) as temporary:
        _save(model.merge_and_unload(), temporary, torch.bfloat16)
        load_tokenizer(base).save_pretrained(temporary)


def _settings(adapter: Path) -> dict[str, Any]:
    """The settings of a LoRA that change what it computes; the others are left out."""
    given = json.loads((adapter / ADAPTER_SETTINGS).read_text())
    if given.get("peft_type") != "LORA":
        raise _refusal(f"It is {given.get('peft_type')}, not LORA.")
    return {name: given[name] for name in OF_LORA if given.get(name) is not None}


def _refusal(message: str) -> Failure:
    hint = "Register a LoRA adapter in PEFT's format that was trained on this base."
    return Failure(Code.BAD_MODEL, message, hint, "adapter")


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
    _save(merged, out, dtype, has_score=judge.is_file())
    load_tokenizer(adapter).save_pretrained(out)


def _save(merged: Any, out: Path, dtype: torch.dtype, *, has_score: bool = False) -> None:
    """Write the weights, fp32 in memory, as `dtype`."""
    exact = score_head(merged).weight.data.clone() if has_score else None
    if dtype is torch.bfloat16:
        chance = torch.Generator().manual_seed(0)
        for parameter in merged.parameters():
            parameter.data = to_bf16(parameter.data, chance)
    merged.to(dtype)
    if exact is not None:  # a score stays in fp32
        score_head(merged).weight.data = exact
    merged.save_pretrained(out)


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


def main_fold(adapter: Path, base: Path, out: Path, digest: str) -> int:
    """Fold and print `{path, size_bytes}`."""

    def work() -> dict[str, Any]:
        fold(adapter, base, out, digest)
        return folder_facts(out)

    return answer(work)
