"""`python -m orpo.statistics DIR REQUEST SAMPLE`: sizes of a file's pairs for a base model, from a
sample of them.

Loads the tokenizer, no weights. SAMPLE holds pairs in their normal form, one a line; REQUEST is a
JSON file with the number of the file's rows and the settings of a method:
`{"rows": 1000000, "method": {...}}`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from orpo.contract.hyperparameters import Hyperparameters
from orpo.contract.methods import parse_method
from orpo.process.verbs import answer
from orpo.rows.formats import Pair
from orpo.tokens import data, embedded
from orpo.tokens.data import Rows, within_context
from orpo.tokens.dropped import Dropped
from orpo.tokens.example import Example
from orpo.tokens.overlong import left_out, overlong
from orpo.tokens.prepare import rank
from orpo.tokens.templates import load_tokenizer, template_name
from orpo.tokens.tokenize import tokenize_pairs

BINS = 24
NO_LIMIT = 2**31  # tokens; no text is as long
MOST_TURNS = 20  # conversations with more are counted together


def main(base: Path, request: Path, sample: Path) -> int:
    """Print what `statistics` returns."""
    return answer(lambda: _main(base, json.loads(request.read_bytes()), sample))


def _main(base: Path, asked: dict[str, Any], sample: Path) -> dict[str, Any]:
    pairs = list(Rows(sample))
    # A file without any rejected answer is for supervised tuning.
    contrasts = any(pair.rejected is not None for pair in pairs)
    method = parse_method("orpo" if contrasts else "supervised", asked["method"])
    method = within_context(method, base)
    return statistics(
        pairs, load_tokenizer(base), method, asked["rows"], embedded.size(base),
        data.context_length(base),
    )  # fmt: skip


def statistics(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    method: Hyperparameters,
    rows: int,
    n_embedded: int | None = None,
    context: int = NO_LIMIT,
) -> dict[str, Any]:
    """Sizes of `pairs`, a sample of a file's `rows` pairs; the base model reads `context` tokens.

    `tokens` are those of each side before anything is cut: `prompt` (what both answers share),
    `chosen`, `rejected`, and `sequence` (the longer of the two sequences of a pair). `cut` is
    what `overlong` returns. `dropped` counts the pairs that a run would leave out, by reason, and
    `left_out` names their lines. `job` is what a job with this
    method would do with the whole file, if its pairs are like the sample; None if no pair is left.
    """
    unlimited = method.model_copy(update={"max_length": NO_LIMIT})
    known = Dropped()
    whole, dropped, stats = tokenize_pairs(pairs, tokenizer, unlimited, n_embedded, known)
    longest, kept = [_longest(example) for example in whole], whole
    if max(longest, default=0) > method.max_length:
        known = Dropped()
        kept, dropped, stats = tokenize_pairs(pairs, tokenizer, method, n_embedded, known)
    unshared = stats["tokens_unshared"]
    return {
        "sampled": len(pairs),
        "max_length": method.max_length,
        "template": template_name(tokenizer),
        "tokens": {
            "prompt": spread([len(example.prefix) for example in whole]),
            "chosen": spread([len(example.chosen) for example in whole]),
            "rejected": spread([len(example.rejected or ()) for example in whole]),
            "sequence": spread(longest),
        },
        "cut": overlong(
            longest, [each.line for each in kept if each.truncated], method.max_length, context
        ),
        "dropped": dict(dropped),
        "left_out": left_out(known),
        "turns": _turns(pairs),
        "roles": _roles(pairs),
        "saved_by_sharing": 1 - stats["tokens"] / unshared if unshared else None,
        "job": _job(kept, len(pairs), rows, method),
    }


def spread(numbers: Sequence[int]) -> dict[str, Any] | None:
    """Mean, nearest-rank quantiles, and a histogram of at most 24 bins, the first of which begins
    at 0; None for no numbers.
    """
    if not numbers:
        return None
    ordered = np.sort(np.array(numbers, np.int64))
    width = int(ordered[-1]) // BINS + 1
    return {
        "mean": float(ordered.mean()),
        "p50": rank(ordered, 0.5),
        "p95": rank(ordered, 0.95),
        "max": int(ordered[-1]),
        "bin_width": width,
        "histogram": np.bincount(ordered // width).tolist(),
    }


def _longest(example: Example) -> int:
    return len(example.prefix) + max(len(example.chosen), len(example.rejected or ()))


def _turns(pairs: Sequence[Pair]) -> list[dict[str, int]]:
    """How many pairs have how many turns, the chosen answer included and system messages not."""
    counts = Counter(
        min(MOST_TURNS, sum(turn["role"] != "system" for turn in (*pair.prompt, *pair.chosen)))
        for pair in pairs
    )
    return [{"turns": turns, "pairs": counts[turns]} for turns in sorted(counts)]


def _roles(pairs: Sequence[Pair]) -> dict[str, int]:
    """How many pairs have a message of each role."""
    counts: Counter[str] = Counter()
    for pair in pairs:
        turns = chain(pair.prompt, pair.chosen, pair.rejected or ())
        counts.update({turn["role"] for turn in turns})
    return dict(counts.most_common())


def _job(
    kept: Sequence[Example], sampled: int, rows: int, method: Hyperparameters
) -> dict[str, Any] | None:
    """Pairs, steps and tokens of a job on all rows, of which the kept share of the sample is
    trained on.
    """
    if not kept:
        return None
    held_out = min(method.max_held_out, round(method.held_out_fraction * rows))
    pairs = max(1, round((rows - held_out) * len(kept) / sampled))
    steps, per_epoch = data.steps(pairs, method)
    contrasts = any(example.rejected is not None for example in kept)
    shared = method.prefix_sharing
    computed = sum(example.n_computed(rejected=contrasts, shared=shared) for example in kept)
    return {
        "pairs": pairs,
        "held_out_pairs": held_out,
        "steps": steps,
        "tokens": round(computed / len(kept) * pairs * steps / per_epoch),
    }
