"""`python -m orpo.score CHECKPOINT ROWS OUT [PROGRESS]`: the rewards of answers, by a reward model.

`orpo.contract.score` describes the files. Rows are read and scored in groups, so that memory does
not grow with the file. Knows reward models, rows and batches; knows nothing of who asks.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch

from orpo.audit.progress import Progress
from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Hyperparameters
from orpo.contract.score import Judge, Problem, Scored, Summary
from orpo.model.reward_model import RewardModel, load_reward_model
from orpo.process.parallel import Single
from orpo.process.verbs import answer
from orpo.rows import messages as turns
from orpo.rows.formats import Message, Pair, Reject
from orpo.rows.rows import count_lines
from orpo.rows.tools import definitions
from orpo.tokens import embedded
from orpo.tokens.dropped import Problems, problem_of
from orpo.tokens.tokenize import Example, tokenize_pairs
from orpo.tokens.work import deal

ROWS_AT_ONCE = 256
NO_NUMBER = "The reward is not a finite number: the model's weights are damaged."
KEYS = {"id", "prompt", "answers", "chosen", "rejected", "tools"}


class Reading(Hyperparameters):
    """How a reward model reads single answers: the settings of its run, without a rejected side."""

    scores: ClassVar[bool] = True


@dataclass
class Row:
    """A row of the file: its answers as conversations, and what is known of each."""

    scored: Scored
    is_pair: bool
    pairs: list[Pair | None] = field(default_factory=list)


# --- examples to rewards --------------------------------------------------------------------------


def reading(judge: Judge, token_budget: int | None = None) -> Reading:
    """The settings under which answers are tokenised and packed, as the model's run did."""
    named = {name: value for name, value in judge.items() if name != "pad_token_id"}
    return Reading.model_validate({**named, "token_budget": token_budget})


def score_examples(
    model: RewardModel, examples: Sequence[Example], method: Hyperparameters
) -> list[tuple[float, float | None]]:
    """The rewards of the chosen and, where there is one, of the rejected side of each example.

    Both sides are read at their last token, which must be the one that ends the turn.
    """
    found: list[tuple[float, float | None]] = [(math.nan, None)] * len(examples)
    for work in deal(examples, method, _Here(model), rejected=True):
        rewards = iter(model.rewards(work.batch).tolist())
        for place in work.places:
            is_pair = examples[place].rejected is not None
            found[place] = next(rewards), next(rewards) if is_pair else None
    return found


class _Here(Single):
    """This process, on the device of a model."""

    def __init__(self, model: RewardModel) -> None:
        self._device = next(model.model.parameters()).device

    @property
    def device(self) -> torch.device:
        return self._device


# --- rows to rewards ------------------------------------------------------------------------------


def score_rows(model: RewardModel, rows: Sequence[Row], method: Hyperparameters) -> None:
    """Fill in what is missing in each row's `scored`: rewards, lengths, and problems."""
    places = [(row, at) for row in rows for at, pair in enumerate(row.pairs) if pair is not None]
    answers = [replace(_pair(row, at), line=n) for n, (row, at) in enumerate(places)]
    problems = Problems()  # by the number that stands for an answer as its line
    n_embedded = embedded.size(model.base_path)
    examples, _, _ = tokenize_pairs(answers, model.tokenizer, method, n_embedded, problems)
    for n, problem in problems.of.items():
        row, at = places[n]
        row.scored["problems"][at] = problem
    for example in examples:
        row, at = places[example.line]
        row.scored["tokens"][at] = example.n_tokens
        row.scored["truncated"][at] = example.truncated
    grouped = list(_together(examples, [id(row) for row, _ in places]))
    rewards = score_examples(model, [both for both, _ in grouped], method)
    for (_, lines), found in zip(grouped, rewards, strict=True):
        for line, reward in zip(lines, found, strict=False):
            row, at = places[line]
            if reward is not None and math.isfinite(reward):
                row.scored["rewards"][at] = reward
            else:
                row.scored["problems"][at] = Problem(code=Code.NAN, message=NO_NUMBER)


def _pair(row: Row, at: int) -> Pair:
    found = row.pairs[at]
    if found is None:
        raise LookupError(f"Answer {at} of line {row.scored['line']} was not read.")
    return found


def _together(
    examples: Iterable[Example], owners: Sequence[int]
) -> Iterator[tuple[Example, list[int]]]:
    """Two neighbours of one row as one example, so that their prompt is computed once, each with
    the lines of its answers.
    """
    waiting: Example | None = None
    for example in examples:
        if waiting is None:
            waiting = example
        elif owners[waiting.line] == owners[example.line] and waiting.prefix == example.prefix:
            both = replace(waiting, rejected=example.chosen, rejected_mask=example.chosen_mask)
            yield both, [waiting.line, example.line]
            waiting = None
        else:
            yield waiting, [waiting.line]
            waiting = example
    if waiting is not None:
        yield waiting, [waiting.line]


# --- files ----------------------------------------------------------------------------------------


def read_row(line: int, text: str) -> Row:
    """A line of ROWS. Raises Failure(`bad_data`) where it has no shape that is known; an answer or
    a prompt that can't be read is a problem of its answers.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _bad(line, f"it is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise _bad(line, "it is no object")
    if unknown := sorted(value.keys() - KEYS):
        raise _bad(line, f"it has the key '{unknown[0]}'")
    is_pair = "answers" not in value
    if is_pair == ("chosen" not in value or "rejected" not in value):
        raise _bad(line, "it needs either 'answers', or 'chosen' and 'rejected'")
    given = [value["chosen"], value["rejected"]] if is_pair else value["answers"]
    if not isinstance(given, list) or not given or "prompt" not in value:
        raise _bad(line, "it needs a 'prompt', and at least one answer")
    n = len(given)
    scored = Scored(
        line=line,
        id=value.get("id"),
        rewards=[None] * n,
        tokens=[None] * n,
        truncated=[False] * n,
        problems=[None] * n,
    )
    names = ("chosen", "rejected") if is_pair else [f"answers[{at}]" for at in range(n)]
    row = Row(scored, is_pair)
    for at, (name, each) in enumerate(zip(names, given, strict=True)):
        try:
            row.pairs.append(_conversation(value, each, name))
        except Reject as reject:
            row.pairs.append(None)
            scored["problems"][at] = problem_of(reject)
    return row


def _conversation(value: dict[str, Any], given: Any, name: str) -> Pair:
    prompt: list[Message] = turns.messages(value["prompt"], "prompt", "user")
    if not prompt or prompt[-1]["role"] == "assistant":
        raise Reject("not_a_pair", "The prompt must end with a turn that asks for an answer.")
    answered = turns.answer(given, name)
    if answered[-1]["role"] != "assistant":
        raise Reject("not_a_pair", f"{name} does not end with a turn of the assistant.")
    tools = definitions(value.get("tools"), "tools")
    return Pair(0, prompt, answered, None, tools)


def _bad(line: int, what: str) -> Failure:
    return Failure(
        Code.BAD_DATA,
        f"Line {line} can't be scored: {what}.",
        "Write a prompt with answers, or with chosen and rejected, as orpo.contract.score says.",
        "rows",
    )


@dataclass
class _Sums:
    """The running numbers of a summary; squares are summed around the mean (Welford 1962)."""

    rows: int = 0
    answers: int = 0
    scored: int = 0
    truncated: int = 0
    mean: float = 0.0
    squares: float = 0.0
    pairs: int = 0
    right: float = 0.0

    def add(self, row: Row) -> None:
        scored = row.scored
        self.rows += 1
        self.answers += len(scored["rewards"])
        self.truncated += sum(scored["truncated"])
        for reward in scored["rewards"]:
            if reward is not None:
                self.scored += 1
                step = reward - self.mean
                self.mean += step / self.scored
                self.squares += step * (reward - self.mean)
        if row.is_pair:
            chosen, rejected = scored["rewards"]
            if chosen is not None and rejected is not None:
                self.pairs += 1
                self.right += (chosen > rejected) + 0.5 * (chosen == rejected)

    def summary(self, weights_sha256: str) -> Summary:
        return Summary(
            rows=self.rows,
            answers=self.answers,
            scored=self.scored,
            truncated=self.truncated,
            mean=self.mean if self.scored else None,
            sd=math.sqrt(self.squares / (self.scored - 1)) if self.scored > 1 else None,
            pairs=self.pairs,
            accuracy=self.right / self.pairs if self.pairs else None,
            weights_sha256=weights_sha256,
        )


def score(model: RewardModel, rows: Path, out: Path, progress: Path | None = None) -> Summary:
    """Score the rows of a file into another, which is whole or not there.

    Raises Failure(`bad_data`) for a row of an unknown shape, and OSError.
    """
    method, sums = reading(model.judge), _Sums()
    told, total = Progress(progress, "score", "rows"), count_lines(rows)
    temporary = out.with_name(f"{out.name}.tmp")
    try:
        with rows.open(encoding="utf-8") as lines, temporary.open("w", encoding="utf-8") as file:
            read = (read_row(n, line) for n, line in enumerate(lines, 1) if line.strip())
            while some := list(islice(read, ROWS_AT_ONCE)):
                score_rows(model, some, method)
                for row in some:
                    sums.add(row)
                    file.write(json.dumps(row.scored, ensure_ascii=False) + "\n")
                told.tell(sums.rows, total)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return sums.summary(model.weights_sha256)


def main(checkpoint: Path, rows: Path, out: Path, progress: Path | None = None) -> int:
    """Score and print the summary; see `orpo.contract.score`."""

    def work() -> dict[str, Any]:
        torch.use_deterministic_algorithms(True, warn_only=True)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_reward_model(checkpoint, device=device)
        return dict(score(model, rows, out, progress))

    return answer(work)
