"""A trained reward model, read from a checkpoint of a run of method `reward`.

Knows checkpoints' weights and how they are loaded; knows nothing of rows or of the objective.

Shapes: S sequences of a batch.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from orpo.base.files import blaming, unchanged
from orpo.contract import rundir
from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Precision
from orpo.contract.manifest import verify
from orpo.contract.score import Judge
from orpo.layers.peft import PeftModel
from orpo.model.base_model import load_whole
from orpo.model.policy import Policy, prepare
from orpo.model.rewards import rewards
from orpo.model.score_head import score_head, with_score
from orpo.tokens.pack import Batch
from orpo.tokens.templates import load_tokenizer


@dataclass(frozen=True)
class RewardModel:
    """A reward model in memory, its tokenizer, and how it reads a conversation.

    `base_path` is the folder of the base model: its configuration says how many tokens there are
    embeddings of. Weights are fp32 unless they were loaded in another precision; the score always
    is.
    """

    model: Policy
    tokenizer: PreTrainedTokenizerBase
    judge: Judge
    base_path: Path
    weights_sha256: str
    precision: Precision

    @torch.no_grad()
    def rewards(self, batch: Batch) -> Tensor:
        """The reward of each sequence of a batch, fp32 on the CPU, [S] in the order of segments."""
        device = next(self.model.parameters()).device
        return rewards(self.model, batch.to(device), self.precision).cpu()


def load_reward_model(
    checkpoint: Path,
    precision: Precision = Precision.FP32,
    device: torch.device | str = "cpu",
) -> RewardModel:
    """The reward model of a committed checkpoint folder.

    With an adapter, the base is read from where it was when the run ended, and must be unchanged.
    Raises Damaged if the folder is not intact, Failure(`bad_spec`) if it holds no reward model, and
    Failure(`base_changed`).
    """
    digest = verify(checkpoint).weights_sha256
    if not (checkpoint / rundir.JUDGE).is_file():
        raise Failure(
            Code.BAD_SPEC,
            f"{checkpoint.name} holds no reward model.",
            "Choose a checkpoint of a job whose method is reward.",
            "reward_model",
        )
    judge: Judge = json.loads((checkpoint / rundir.JUDGE).read_text())
    if (checkpoint / rundir.MODEL).is_dir():
        base_path = weights = checkpoint / rundir.MODEL
        model = _whole(weights)
    else:
        weights = checkpoint / rundir.ADAPTER
        settings = json.loads((weights / "adapter_config.json").read_text())
        base_path = Path(settings["base_model_name_or_path"])
        model = _adapted(checkpoint, base_path, judge)
    for name, weight in model.named_parameters():
        weight.requires_grad_(False)
        if precision is Precision.BF16 and not name.startswith("score."):
            weight.data = weight.data.bfloat16()
    torch.nn.Module.to(model, device)
    return RewardModel(model, load_tokenizer(weights), judge, base_path, digest, precision)


def _whole(folder: Path) -> Policy:
    model = load_whole(folder, torch.float32, AutoModelForSequenceClassification)
    with blaming(f"The model in {folder}"):
        return prepare(model)


def _adapted(checkpoint: Path, base_path: Path, judge: Judge) -> Policy:
    """The base with its adapter folded in: a pass is faster, and fp32 rounds the sum by 1e-7."""
    noted = checkpoint / rundir.BASE
    known = json.loads(noted.read_text()) if noted.is_file() else {"sha256": None, "files": None}
    with unchanged(base_path, **known):
        base = load_whole(base_path, torch.float32)
    scored = partial(with_score, seed=0, pad_token_id=judge["pad_token_id"])
    with blaming(f"The model in {base_path}"):
        adapted = PeftModel.from_pretrained(scored(base), str(checkpoint / rundir.ADAPTER))
        merged = cast(PreTrainedModel, adapted.merge_and_unload())
        score_head(merged).float()
        return prepare(merged)
