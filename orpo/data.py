"""A run's rows: read from their normal form, split into training and held-out pairs, tokenised.

Knows the spec and the tokenizer; knows no model weights and no steps.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedTokenizerBase

from orpo.failures import Failure
from orpo.formats import Pair
from orpo.hyperparameters import Hyperparameters
from orpo.spec import RunSpec
from orpo.split import hold_out
from orpo.tokenize import Example, tokenize_pairs


@dataclass(frozen=True)
class Part:
    """The pairs of one side of the split that can be trained on, in tokens."""

    examples: list[Example]
    pairs: dict[int, Pair]
    dropped: Counter[str] = field(default_factory=Counter)
    stats: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """Both sides of the split; `max_length` is the spec's, or the model's where that is less."""

    train: Part
    held_out: Part
    max_length: int

    def map(self, change: Callable[[Part], Part]) -> "Data":
        """The same with both parts changed."""
        return replace(self, train=change(self.train), held_out=change(self.held_out))


def load(spec: RunSpec, tokenizer: PreTrainedTokenizerBase) -> Data:
    """Read, split and tokenise; raises Failure(`bad_data`) when nothing is left to train."""
    train, held_out = split(spec)
    max_length = min(spec.method.max_length, context_length(spec.base_model_path))
    method = spec.method.model_copy(update={"max_length": max_length})
    data = Data(part(train, tokenizer, method), part(held_out, tokenizer, method), max_length)
    if not data.train.examples:
        reasons = ", ".join(f"{n} {reason}" for reason, n in data.train.dropped.items())
        raise Failure(
            "bad_data",
            f"None of {len(train)} pairs can be trained on ({reasons or 'the file is empty'}).",
            "Raise max_length, set overlong to truncate_prompt, or bring other pairs.",
            "max_length" if "prompt_too_long" in data.train.dropped else "training_file",
        )
    return data


def part(pairs: list[Pair], tokenizer: PreTrainedTokenizerBase, method: Hyperparameters) -> Part:
    """Tokenise one side of the split."""
    examples, dropped, stats = tokenize_pairs(pairs, tokenizer, method)
    return Part(examples, {pair.line: pair for pair in pairs}, dropped, stats)


def split(spec: RunSpec) -> tuple[list[Pair], list[Pair]]:
    """Training and held-out pairs: those of two files, or of one by `held_out_fraction`."""
    pairs, method = read_pairs(spec.train_path), spec.method
    if spec.held_out_path is not None:
        return pairs, read_pairs(spec.held_out_path)[: method.max_held_out]
    prompts = [pair.prompt for pair in pairs]
    held_out = hold_out(prompts, method.held_out_fraction, method.max_held_out, spec.seed)
    sides = ([], [])
    for place, pair in enumerate(pairs):
        sides[place in held_out].append(pair)
    return sides


def read_pairs(path: Path) -> list[Pair]:
    """Rows in their normal form; raises Failure(`bad_data`) where the file is not that."""
    try:
        with path.open(encoding="utf-8") as lines:
            return [Pair.from_json(json.loads(line)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(
            "bad_data", f"{path.name} can't be read as accepted rows: {error}", "Validate it again."
        ) from error


def context_length(model_path: Path) -> int:
    """Positions that the base model has, or a number no text reaches where it has no limit."""
    config = AutoConfig.from_pretrained(model_path, local_files_only=True).get_text_config()
    return getattr(config, "max_position_embeddings", None) or 2**31


def steps(n_examples: int, method: Hyperparameters) -> tuple[int, int]:
    """Optimizer steps of the whole run, and of one pass over the pairs."""
    per_epoch = math.ceil(n_examples / method.batch_size)
    return method.max_steps or max(1, round(method.n_epochs * per_epoch)), per_epoch


def fingerprint(spec: RunSpec) -> str:
    """sha256 of what decides a run's result: data, seed, method; not of how fast it gets there.

    A checkpoint goes on only under the fingerprint that it was made with.
    """
    speed = {
        "strategy", "processes", "token_budget", "prefix_sharing", "gradient_checkpointing",
    }  # fmt: skip
    decisive = [spec.base_model, spec.seed, spec.method.model_dump(mode="json", exclude=speed)]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for path in (spec.train_path, spec.held_out_path):
        digest.update(path.read_bytes() if path else b"")
    return digest.hexdigest()
