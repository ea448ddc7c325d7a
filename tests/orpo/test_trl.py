"""The reference equals TRL's own ORPO loss in `full` mode. TRL is no dependency: often skipped."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.orpo import reference, tiny_models

trl = pytest.importorskip("trl.experimental.orpo", reason="TRL is not installed")


def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def test_the_reference_equals_trl():
    examples = tiny_models.examples(seed=2, n=4)
    model = tiny_models.llama()
    trainer: Any = object.__new__(trl.ORPOTrainer)  # its loss alone, without its data pipeline
    trainer.beta, trainer.padding_value, trainer.aux_loss_enabled = 0.3, 0, False
    trainer.is_encoder_decoder = False
    trainer.accelerator = SimpleNamespace(
        device=torch.device("cpu"), gather_for_metrics=lambda values: values
    )
    batch, rows = {}, []
    for side in ("chosen", "rejected"):
        tails = [getattr(example, side) for example in examples]
        ids = [example.prefix + tail for example, tail in zip(examples, tails, strict=True)]
        labels = [
            [-100] * len(example.prefix) + tail
            for example, tail in zip(examples, tails, strict=True)
        ]
        batch[f"{side}_input_ids"] = padded(ids, 0)
        batch[f"{side}_attention_mask"] = padded([[1] * len(row) for row in ids], 0)
        batch[f"{side}_labels"] = padded(labels, -100)
    theirs, metrics = trainer.get_batch_loss_metrics(model, batch)

    for example in examples:
        prefix = [False] * len(example.prefix)
        chosen, rejected = (
            example.prefix + example.chosen,
            example.prefix + (example.rejected or []),
        )
        rows.append(
            reference.Row(
                chosen=chosen,
                chosen_answer=prefix + example.chosen_mask,
                nll=[False] + [True] * (len(chosen) - 1),
                rejected=rejected,
                rejected_answer=prefix + example.rejected_mask,
            )
        )
    ours = reference.loss(
        model.double(), rows, {"type": "orpo", "lambda": 0.3, "nll_reduction": "token"}
    )
    assert theirs.item() == pytest.approx(ours.item(), rel=1e-5)
    assert metrics["nll_loss"] < theirs.item(), "the odds-ratio term took part"
