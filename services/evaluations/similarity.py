"""The samples of an evaluation as vectors, and how alike they are. Knows no embedder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from evals import diversity
from models import Evaluation
from orpo.rows.thoughts import spoken
from services.evaluations import answers, worklist
from services.evaluations.suites import Side
from services.evaluations.worklist import Item

# By side and place of an item: the keys of its samples.
Samples = dict[Side, dict[int, list[str]]]


@dataclass
class Vectors:
    """The vectors of answers by their keys. `embedder` says what has made them
    (`orpo.contract.embed.Embedder`); `truncated` are the answers that were too long to be read
    whole.
    """

    embedder: Mapping[str, Any]
    by_key: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)

    def details(self) -> dict[str, Any]:
        """What an evaluation's record keeps of them."""
        return {
            "embedder": self.embedder["name"],
            "embedder_sha256": self.embedder["weights_sha256"],
            "max_tokens": self.embedder["max_tokens"],
            "embedded": len(self.by_key),
            "truncated": len(self.truncated),
        }


def samples(session: Session, evaluation: Evaluation) -> Samples:
    """Return the samples of the items that a side has answered in full. Of a conversation with
    several turns, the last answer is the sample.
    """
    of_sides: Samples = {"model": {}}
    if evaluation.baseline is not None:
        of_sides["baseline"] = {}
    for item in worklist.load(session, evaluation.id):
        for side, by_place in of_sides.items():
            if keys := _last_answers(evaluation, item, side):
                by_place[item.place] = keys
    return of_sides


def _last_answers(evaluation: Evaluation, item: Item, side: Side) -> list[str]:
    keys, turns = item.keys[side], len(item.turns)
    if not turns or len(keys) != answers.asked(evaluation, turns):
        return []
    return keys[turns - 1 :: turns]


def texts(session: Session, org_id: str, keys: Sequence[str]) -> dict[str, str]:
    """Return what answers say, without their thoughts, by their keys."""
    return {key: spoken(text) for key, text in answers.known(session, org_id, keys).items()}


def sides(of_sides: Samples, vectors: Vectors) -> dict[Side, diversity.Side]:
    """Return how alike the samples of each side are."""
    found: dict[Side, diversity.Side] = {}
    for side, by_place in of_sides.items():
        stacked = {
            place: np.stack([vectors.by_key[key] for key in keys])
            for place, keys in by_place.items()
            if all(key in vectors.by_key for key in keys)
        }
        found[side] = diversity.side(stacked)
    return found
