"""What votes become: pairs of a preference file, each row with where it is from.

A row's `chosen` is the better answer, or what a person made of it, and `rejected` is the other one.
A vote becomes no pair if it names no better answer, if another vote contradicts it, or if its
prompt is a held-out one of a run whose model answered: training on it would spoil that measure.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from sqlalchemy.orm import Session

from models import Comparison
from models.comparisons import Choice
from orpo.rows.messages import Message
from services.access.callers import Caller
from services.platform.errors import NotFound
from services.runs import checkpoints, runs
from services.votes import votes
from services.votes.votes import Filter

SHOWN = 20  # contradictions
SAMPLING = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed")
CUT_OFF = "length"
BETTER = {Choice.A: 0, Choice.B: 1}


@dataclass
class Counts:
    """What became of each vote. `pairs` are rows of the file; every other vote is left out."""

    votes: int = 0
    pairs: int = 0
    # Pairs whose chosen answer a person has edited; they are among `pairs`.
    edited: int = 0
    ties: int = 0
    both_bad: int = 0
    # The sides were asked different things, or gave the same answer.
    not_a_pair: int = 0
    # The better answer ended at `max_tokens`: a model would learn to end there.
    cut_off: int = 0
    held_out: int = 0
    # Two votes name each of the same two answers as the better one: both are left out.
    contradictions: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class Found:
    """The rows of a file, the newest vote last, and what became of all votes.

    `contradicted` are the ids of comparisons whose votes contradict each other, a list for each
    pair of answers.
    """

    rows: list[dict[str, Any]]
    counts: Counts
    contradicted: list[list[str]] = field(default_factory=list)

    def lines(self) -> Iterator[bytes]:
        """Yield the file's lines."""
        return (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in self.rows)

    def counts_as_json(self) -> dict[str, int]:
        return asdict(self.counts)


@dataclass(frozen=True)
class _Pair:
    comparison: Comparison
    prompt: list[Message]
    chosen: str
    rejected: str
    # The side of the chosen answer, and its text before it was edited.
    side: int
    source: str | None

    @property
    def winner(self) -> str:
        """The better answer as the model gave it."""
        return self.chosen if self.source is None else self.source

    @property
    def answers(self) -> tuple[str, ...]:
        """What two votes on the same answers to the same prompt have in common."""
        return prompt_key(self.prompt), *sorted([self.winner, self.rejected])


def find(session: Session, caller: Caller, wanted: Filter) -> Found:
    """Return what the votes of a filter become. Reads at most `votes.MOST`, the newest.

    Takes seconds for thousands of votes: call it in a thread.
    """
    counts = Counts()
    held_out = _HeldOut(session, caller)
    kept: dict[tuple[str, ...], list[_Pair]] = {}
    for comparison in votes.newest(session, caller, wanted):
        counts.votes += 1
        pair = _pair(comparison, counts)
        if pair is None:
            continue
        if held_out.has(comparison, prompt_key(pair.prompt)):
            counts.held_out += 1
            continue
        kept.setdefault(pair.answers, []).append(pair)
    found = Found([], counts)
    for group in reversed(kept.values()):
        _settle(group, found)
    return found


def _settle(group: list[_Pair], found: Found) -> None:
    """Add the pair that votes on the same two answers agree on, the newest of them."""
    if len({pair.winner for pair in group}) > 1:
        found.counts.contradictions += len(group)
        if len(found.contradicted) < SHOWN:
            found.contradicted.append([pair.comparison.id for pair in group])
        return
    found.counts.repeated += len(group) - 1
    found.counts.pairs += 1
    found.counts.edited += group[0].source is not None
    found.rows.append(_row(group[0]))


def _pair(comparison: Comparison, counts: Counts) -> _Pair | None:
    """The pair that a vote names; None, and counted, where it names none."""
    if (prompt := votes.asked(comparison)) is None:
        counts.not_a_pair += 1
        return None
    better = BETTER.get(Choice(comparison.choice))
    edit = comparison.edit
    if better is None and edit is None:
        counts.ties += comparison.choice == Choice.TIE
        counts.both_bad += comparison.choice == Choice.BOTH_BAD
        return None
    side = better if edit is None or better is not None else int(edit["side"])
    assert side is not None  # noqa: S101 - for the type checker
    answer, other = comparison.sides[side]["text"], comparison.sides[1 - side]["text"]
    # Without a better answer, the edited text is better than what it was made of.
    rejected = answer if better is None else other
    chosen, source = (answer, None) if edit is None else (edit["text"], answer)
    if chosen.strip() == rejected.strip():
        counts.not_a_pair += 1
        return None
    if source is None and comparison.sides[side].get("finish_reason") == CUT_OFF:
        counts.cut_off += 1
        return None
    return _Pair(comparison, prompt, chosen, rejected, side, source)


def _row(pair: _Pair) -> dict[str, Any]:
    comparison = pair.comparison
    ours = comparison.sides[pair.side]
    # Of a vote without a better answer, the edited answer is both the source and the rejected one.
    theirs = ours if pair.rejected == pair.source else comparison.sides[1 - pair.side]
    return {
        "prompt": pair.prompt,
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
        "chosen_model": ours["model"],
        "rejected_model": theirs["model"],
        "metadata": {
            "comparison": comparison.id,
            "voted_at": int(comparison.voted_at.timestamp()) if comparison.voted_at else None,
            "voter": comparison.voted_by,
            "shown_first": "chosen" if pair.side == 0 else "rejected",
            "reason": comparison.reason,
            "note": comparison.note,
            "edited_from": pair.source,
            "chosen": _origin(ours),
            "rejected": _origin(theirs),
        },
    }


def _origin(side: dict[str, Any]) -> dict[str, Any]:
    """Which weights gave an answer, and with which sampling."""
    asked = side.get("asked") or {}
    return {
        "model": side["model"],
        "checkpoint_step": side.get("checkpoint_step"),
        "weights_sha256": side.get("weights_sha256"),
        "sampling": {name: asked[name] for name in SAMPLING if asked.get(name) is not None},
    }


def prompt_key(prompt: Iterable[dict[str, Any]] | Iterable[Message]) -> str:
    """What prompts with the same roles and texts have in common."""
    return json.dumps([[turn["role"], _text(turn.get("content"))] for turn in prompt])


def _text(content: Any) -> Any:
    return content.strip() if isinstance(content, str) else content


class _HeldOut:
    """The held-out prompts of the runs whose models have answered, each read once."""

    def __init__(self, session: Session, caller: Caller) -> None:
        self._session, self._caller = session, caller
        self._of_model: dict[str, frozenset[str]] = {}

    def has(self, comparison: Comparison, key: str) -> bool:
        """Whether a prompt is a held-out one of the runs of a comparison's models."""
        return any(key in self._read(side["model"]) for side in comparison.sides)

    def _read(self, model: str) -> frozenset[str]:
        if model not in self._of_model:
            self._of_model[model] = self._prompts(model)
        return self._of_model[model]

    def _prompts(self, model: str) -> frozenset[str]:
        try:
            job = checkpoints.resolve(self._session, self._caller, model)[1]
        except NotFound:  # a base, or a model that was deleted
            return frozenset()
        return frozenset(map(prompt_key, runs.held_out_prompts(job)))
