"""TRL's ORPO loss in `full` mode, and its reward loss: the reference and the engine equal them.

TRL is not a dependency. `make bench` installs it in var/bench/trl, with packages that must not mix
with those of other tests. So the comparison with it runs in a process of its own.
"""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from orpo.contract.methods import parse_method
from orpo.tokens.tokenize import Example
from tests.orpo import judge, reference, tiny_models

ROOT = Path(__file__).parents[2]
PEER = ROOT / "var" / "bench" / "trl"
IS_INSTALLED = find_spec("trl") is not None
needs_trl = pytest.mark.skipif(not IS_INSTALLED, reason="TRL is not installed here")
METHOD = parse_method("orpo", {"tuning": "full", "nll_tokens": "full", "lambda": 0.3})


def padded(rows: list[list[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def theirs(model: PreTrainedModel, examples: Sequence[Example]) -> tuple[Tensor, dict[str, float]]:
    """TRL's loss, without its data pipeline, and the metrics that TRL logs."""
    from trl.experimental.orpo import (  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
        ORPOTrainer,
    )

    trainer: Any = object.__new__(ORPOTrainer)
    trainer.beta, trainer.padding_value, trainer.aux_loss_enabled = 0.3, 0, False
    trainer.is_encoder_decoder = False
    trainer.accelerator = SimpleNamespace(
        device=torch.device("cpu"), gather_for_metrics=lambda values: values
    )
    batch = {}
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
    return trainer.get_batch_loss_metrics(model, batch)


@pytest.fixture
def examples() -> list[Example]:
    return tiny_models.examples(seed=2, n=4)


@needs_trl
def test_the_reference_equals_trl(examples: list[Example]) -> None:
    model = tiny_models.llama()
    expected, metrics = theirs(model, examples)
    rows = [judge.row(example, METHOD) for example in examples]
    found = reference.loss(model.double(), rows, METHOD.model_dump(mode="json"))
    assert expected.item() == pytest.approx(found.item(), rel=1e-5)
    assert metrics["nll_loss"] < expected.item(), "the odds-ratio term took part"


@needs_trl
def test_the_engine_equals_trl_in_loss_and_gradients(examples: list[Example]) -> None:
    """Both compute in fp32, so their rounding differs."""
    model = tiny_models.llama()
    expected, _ = theirs(model, examples)
    expected.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    loss, found = judge.ours(judge.adapted(tiny_models.llama(), METHOD), examples, METHOD)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    error, where = reference.worst_gradient_error(found, gradients)
    assert error <= 1e-4, f"gradient of {where} is off by {error:.1e}"


@needs_trl
@pytest.mark.parametrize("center", [0.0, 0.3])
def test_the_reward_loss_equals_trl(examples: list[Example], center: float) -> None:
    from trl import RewardTrainer  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    method = parse_method("reward", {"tuning": "full", "center": center})
    filler = tiny_models.VOCAB - 1
    rows = [judge.row(example, method) for example in examples]
    ids = [row.chosen for row in rows] + [row.rejected for row in rows]
    assert all(row[-1] != filler for row in ids), "transformers would read the row before its end"
    model = judge.adapted(tiny_models.llama(), method)
    model.config.pad_token_id = filler

    trainer: Any = object.__new__(RewardTrainer)
    trainer.args = SimpleNamespace(center_rewards_coefficient=center)
    trainer.model, trainer._total_train_tokens = model, 0
    trainer._metrics = {"eval": defaultdict(list)}
    trainer.accelerator = SimpleNamespace(
        gather=lambda values: values, gather_for_metrics=lambda values: values
    )
    inputs = {
        "input_ids": padded(ids, filler),
        "attention_mask": padded([[1] * len(row) for row in ids], 0),
    }
    expected = trainer.compute_loss(model, inputs)
    assert reference.reward_loss(model, rows, center).item() == pytest.approx(
        expected.item(), rel=1e-5
    )
    loss, _ = judge.ours(model, examples, method)
    assert loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(IS_INSTALLED, reason="TRL is installed here")
@pytest.mark.skipif(not PEER.is_dir(), reason="`make bench` has not fetched TRL yet")
def test_both_hold_with_the_trl_that_make_bench_keeps() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"PYTHONPATH": str(PEER)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
