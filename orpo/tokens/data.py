"""A run's rows: read from their normal form, split into training and held-out pairs, tokenised.

Tokens are made once and cached (`cache.py`): a run that is prepared, started and resumed tokenises
once, and keeps no tokens in memory. Knows the spec and the tokenizer; knows no model weights and no
steps.
"""

import hashlib
import json
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from orpo.contract.failures import Code, Failure, explain, is_panic
from orpo.contract.held_out import draw, hold_out
from orpo.contract.hyperparameters import Hyperparameters, Reasoning, SpecialTokens
from orpo.contract.rundir import Split
from orpo.contract.spec import RunSpec
from orpo.process import watchdog
from orpo.rows.formats import Pair
from orpo.rows.rows import count_lines
from orpo.tokens import cache, embedded, examples
from orpo.tokens.dropped import nothing_left
from orpo.tokens.examples import Examples, Tokenised
from orpo.tokens.tokenize import tokenize_pairs

PAIRS_A_PART = 1024


@dataclass(frozen=True)
class Rows:
    """Rows of a file in their normal form: all of them, those at `places`, or all but those at
    `left_out`. Each iteration reads the file again.
    """

    path: Path
    places: frozenset[int] | None = None
    left_out: frozenset[int] = frozenset()

    def __iter__(self) -> Iterator[Pair]:
        """Raises Failure(`bad_data`) if the file does not hold accepted rows."""
        try:
            with self.path.open(encoding="utf-8") as lines:
                for place, line in enumerate(lines):
                    if place not in self.left_out and (self.places is None or place in self.places):
                        yield Pair.from_json(json.loads(line))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Failure(
                Code.BAD_DATA,
                f"{self.path.name} can't be read as accepted rows: {error}",
                "Validate it again.",
            ) from error


@dataclass(frozen=True)
class Part:
    """One side of the split: the rows, and the tokens in `folder` of those pairs that can be
    trained on.
    """

    folder: Path
    examples: Examples
    rows: Rows
    dropped: Counter[str] = field(default_factory=Counter)
    stats: dict[str, Any] = field(default_factory=dict)

    def first(self, n: int) -> list[Pair]:
        """The rows of its first `n` examples."""
        lines = [example.line for example in self.examples[:n]]
        pairs = {pair.line: pair for pair in self.rows if pair.line in lines}
        return [pairs[line] for line in lines]


@dataclass(frozen=True)
class Data:
    """Both sides of the split; `max_length` is the smaller of the spec's and the model's."""

    train: Part
    held_out: Part
    max_length: int

    def map(self, change: Callable[[Part], Part]) -> "Data":
        """The same with both parts changed."""
        return replace(self, train=change(self.train), held_out=change(self.held_out))


def load(
    spec: RunSpec,
    tokenizer: PreTrainedTokenizerBase,
    processes: int = 1,
    tell: Callable[[int], None] | None = None,
) -> Data:
    """Read, split and tokenise; uses `processes` processes if the tokens are not cached.

    Calls `tell` with the number of newly finished pairs. Raises Failure(`bad_data`) if nothing is
    left to train.
    """
    method = within_context(spec.method, spec.base_model_path)
    kept = cache.folder(spec, method)
    needed = Needed(tokenizer, method, embedded.size(spec.base_model_path))
    train, held_out = (
        _part(kept / side, rows, partial(_tokenised, needed, processes, tell))
        for side, rows in zip(Split, split(spec), strict=True)
    )
    if not train.examples:
        raise nothing_left(train.dropped, train.stats["reasons"])
    return Data(train, held_out, method.max_length)


def _part(folder: Path, rows: Rows, tokenised: Callable[[Rows], Iterator[Tokenised]]) -> Part:
    if not examples.is_whole(folder):
        examples.write(folder, tokenised(rows))
    return Part(folder, Examples.read(folder), rows, *examples.about(folder))


def _chunks(rows: Rows) -> Iterator[list[Pair]]:
    """Rows in lists. Always yields at least one, possibly empty: the statistics of an empty file
    are needed too.
    """
    iterator = iter(rows)
    chunk = list(islice(iterator, PAIRS_A_PART))
    yield chunk
    while chunk := list(islice(iterator, PAIRS_A_PART)):
        yield chunk


class Needed(NamedTuple):
    """What tokenisation needs beside the rows: see `tokenize_pairs`."""

    tokenizer: PreTrainedTokenizerBase
    method: Hyperparameters
    n_embedded: int | None


def _tokenised(
    needed: Needed, processes: int, tell: Callable[[int], None] | None, rows: Rows
) -> Iterator[Tokenised]:
    """The tokens of the rows, part by part, in order."""
    for part in _in_order(_chunks(rows), needed, processes):
        yield part
        if tell:
            made, dropped, _ = part
            tell(len(made) + dropped.total())


def _in_order(chunks: Iterable[list[Pair]], needed: Needed, processes: int) -> Iterator[Tokenised]:
    """The tokens of the chunks, in order; a few chunks are in flight at a time."""
    if processes == 1:
        for chunk in chunks:
            yield tokenize_pairs(chunk, *needed)
        return
    fork = get_context("fork")  # forked children inherit the tokenizer
    with ProcessPoolExecutor(processes, fork, _take, (needed,)) as pool:
        waiting: deque[Future[Tokenised]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_tokenise, chunk))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# Set once in each child: to send a tokenizer with each chunk would take longer than the work.
_mine: list[Needed] = []


def _take(needed: Needed) -> None:
    watchdog.die_with_parent()
    _mine[:] = [needed]


def _tokenise(chunk: list[Pair]) -> Tokenised:
    (needed,) = _mine
    try:
        return tokenize_pairs(chunk, *needed)
    except BaseException as error:
        if is_panic(error):  # the other process can't import its class
            raise explain(error) from None
        raise


def split(spec: RunSpec) -> tuple[Rows, Rows]:
    """Training and held-out rows: from two files, or from one file split by `held_out_fraction`.

    From a file of held-out rows `max_held_out` rows are drawn, as from a job's validation file.
    """
    train, method = Rows(spec.train_path), spec.method
    if spec.held_out_path is not None:
        drawn = draw(count_lines(spec.held_out_path), method.max_held_out, spec.seed)
        return train, Rows(spec.held_out_path, places=frozenset(drawn))
    prompts = (pair.prompt for pair in train)
    held_out = frozenset(
        hold_out(prompts, method.held_out_fraction, method.max_held_out, spec.seed)
    )
    return replace(train, left_out=held_out), replace(train, places=held_out)


def within_context(method: Hyperparameters, model_path: Path) -> Hyperparameters:
    """The method with `max_length` bounded by the base model's number of positions."""
    longest = min(method.max_length, context_length(model_path))
    return method.model_copy(update={"max_length": longest})


def context_length(model_path: Path) -> int:
    """The base model's number of positions; if it has no limit, a number that no text reaches."""
    config = embedded.text_config(model_path)
    return getattr(config, "max_position_embeddings", None) or 2**31


def steps(n_examples: int, method: Hyperparameters) -> tuple[int, int]:
    """Optimizer steps of the whole run, and of one pass over the pairs."""
    per_epoch = math.ceil(n_examples / method.batch_size)
    return method.max_steps or max(1, round(method.n_epochs * per_epoch)), per_epoch


def fingerprint(spec: RunSpec) -> str:
    """sha256 of what decides a run's result: data, seed, method.

    Settings of speed and of what is kept are left out. A checkpoint can be resumed only under the
    fingerprint that it was made with.
    """
    speed = {
        "strategy", "processes", "nodes", "token_budget", "prefix_sharing",
        "gradient_checkpointing", "activation_offload", "keep_checkpoints",
    }  # fmt: skip
    if spec.method.special_tokens is SpecialTokens.REFUSE:
        # The default is left out, so that checkpoints older than this setting keep their
        # fingerprint.
        speed.add("special_tokens")
    if spec.method.reasoning is Reasoning.AUTO:
        speed.add("reasoning")  # for the same reason
    decisive = [spec.base_model, spec.seed, spec.method.model_dump(mode="json", exclude=speed)]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for path in (spec.train_path, spec.held_out_path):
        digest.update(cache.sha256(path))
    return digest.hexdigest()
