"""The phase in which samples become vectors: `python -m orpo.embed`, in a sandbox.

Vectors are not stored: a worker that takes an evaluation over makes them again, which asks no model
for an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models import Evaluation
from orpo.contract.failures import Code
from services.evaluations import similarity
from services.evaluations.similarity import Vectors
from services.platform.database import transaction
from services.processes.verbs import VerbError, run_verb
from workers.asking import UnusableError
from workers.holding import Hold

# As `orpo.contract.embed.Embedder`.
Facts = Mapping[str, Any]

# Texts of one process: it loads the model each time, and the progress is told between two.
AT_ONCE = 1_000
# For each text, on a slow CPU; and to load the model.
TEXT_S, LOAD_S = 5.0, 600.0


class Unembedded(UnusableError):
    """Answers can't be embedded: `message` and `hint` are sentences for the user."""

    def __init__(self, failure: VerbError) -> None:
        super().__init__(f"The answers could not be embedded: {failure}", "not_embedded")
        self.hint, self.param = failure.error.get("hint"), "suite"


@dataclass(frozen=True)
class Made:
    """The vectors of texts, fp32 [texts, width], in their order, and what has made them."""

    embedder: Facts
    values: NDArray[np.float32]
    truncated: list[bool]


def find(hold: Hold) -> Facts:
    """Return what the embedder is. Raises Unembedded if no text can be embedded here: call it
    before a model is asked.
    """
    return run(hold, []).embedder


def vectors(hold: Hold, evaluation: Evaluation, embedder: Facts) -> Vectors:
    """Return the vectors of all samples of an evaluation, made by `embedder`.

    Raises Unembedded, and what `Hold.check` raises.
    """
    with transaction() as session:
        of_sides = similarity.samples(session, evaluation)
    wanted = [key for by_place in of_sides.values() for keys in by_place.values() for key in keys]
    keys = list(dict.fromkeys(wanted))
    found = Vectors(embedder)
    for start in range(0, len(keys), AT_ONCE):
        hold.tell("embeddings", start, len(keys))
        _add(hold, found, keys[start : start + AT_ONCE])
    return found


def _add(hold: Hold, found: Vectors, keys: Sequence[str]) -> None:
    with transaction() as session:
        texts = similarity.texts(session, hold.caller.org_id, keys)
    # Answers with the same words are embedded once, so that they are exactly alike.
    distinct = list(dict.fromkeys(texts.values()))
    made = run(hold, distinct)
    places = {text: place for place, text in enumerate(distinct)}
    for key, text in texts.items():
        place = places[text]
        found.by_key[key] = made.values[place]
        if made.truncated[place]:
            found.truncated.add(key)


def run(hold: Hold, texts: Sequence[str]) -> Made:
    """Embed texts in a process, which ends when the hold does.

    Raises VerbError for a failure that may not repeat, Unembedded for others.
    """
    hold.check()
    with TemporaryDirectory() as inside:
        rows, out = Path(inside, "rows.jsonl"), Path(inside, "embedded", "embedded.jsonl")
        out.parent.mkdir()
        rows.write_bytes(
            b"".join(orjson.dumps({"text": t}, option=orjson.OPT_APPEND_NEWLINE) for t in texts)
        )
        timeout_s = LOAD_S + TEXT_S * len(texts)
        try:
            summary = run_verb(
                "embed", str(rows), str(out), timeout_s=timeout_s, meanwhile=hold.check
            )
        except VerbError as failure:
            if failure.is_fleeting:
                raise
            raise Unembedded(failure) from None
        embedder = summary["embedder"]
        values = np.empty((len(texts), embedder["width"]), dtype=np.float32)
        truncated = []
        with out.open("rb") as lines:
            for place, line in enumerate(lines):
                row = orjson.loads(line)
                values[place] = row["vector"]
                truncated.append(row["truncated"])
    if len(truncated) != len(texts):
        raise VerbError({"code": Code.INTERNAL, "message": "orpo.embed left out rows."})
    return Made(embedder, values, truncated)
