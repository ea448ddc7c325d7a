"""The prompts of a file, or its pairs, as items of an evaluation. Knows rows in normal form, and no
engine.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evals import prompts
from evals.fits import ANY
from models import File
from orpo.rows.messages import as_request
from services.evaluations.suites import ANSWERS, Suite
from services.platform.errors import Invalid
from services.platform.storable import storable

MOST = 20_000  # prompts of one evaluation, or answers of a model where prompts get several
MOST_BYTES = 2**28  # of their rows


@dataclass(frozen=True)
class Drawn:
    """The items of an evaluation. `items` are values of `EvaluationItem` without its
    `evaluation_id`; `counts` are `of`, `prompts`, `empty` and `repeated`.
    """

    items: list[dict[str, Any]]
    counts: dict[str, int]


def refuse_unfit(
    file_id: str,
    accepted: int,
    found: dict[str, Any] | None,
    suite: Suite,
    limit: int | None,
    samples: int = 1,
    shapes: Collection[str] = (),
) -> None:
    """Raise Invalid, with the field at fault, unless the suite can use a validated file, with so
    many `samples` of each prompt.

    `accepted`, `found` and `shapes` are of the file's report: `found` is its part `prompts`, None
    for a file of pairs, whose prompts are asked.
    """
    if suite.reads_pairs:
        _require_pairs(file_id, suite, is_of_prompts=found is not None, shapes=shapes)
    elif found is None and suite.name not in ANY:
        raise Invalid(
            f"The file '{file_id}' holds preference pairs, and the suite '{suite.name}' needs its "
            "own prompts: upload them with the purpose `evals`.",
            param="data",
        )
    # The report of an earlier release does not name a suite that was added since.
    elif found is not None and suite.name not in (*ANY, *found["suites"]):
        why = found["unfit"].get(suite.name) or "Its rows lack what the suite needs."
        raise Invalid(
            f"The file '{file_id}' does not fit the suite '{suite.name}'. {why}", param="data"
        )
    asked = accepted - (found or {}).get("repeated", 0)
    if limit is None and asked > MOST:
        raise _too_many(f"{accepted} prompts, and an evaluation asks {MOST} at most")
    _check_samples(asked if limit is None else min(asked, limit), samples)


def _require_pairs(
    file_id: str, suite: Suite, *, is_of_prompts: bool, shapes: Collection[str]
) -> None:
    what = "prompts" if is_of_prompts else "conversations without a rejected answer"
    if is_of_prompts or set(shapes) == {"messages"}:
        raise Invalid(
            f"The file '{file_id}' holds {what}, and the suite '{suite.name}' needs pairs of a "
            "chosen and a rejected answer: name a file of preference pairs.",
            param="data",
        )


def draw(
    rows: Path,
    suite: Suite,
    *,
    limit: int | None = None,
    seed: int = 0,
    empty: int = 0,
    samples: int = 1,
) -> Drawn:
    """Read the accepted rows of a file in their normal form, and draw the items.

    `rows` is a copy of what the file's `rows_key` names. A prompt (for a suite that reads pairs, a
    pair) that stands in several rows is asked once, with the first of them. A smaller limit draws a
    part of what a larger one draws (`evals.prompts.draw`). `empty` is how many rows the validation
    left out because their prompt is empty: `empty_of(record)`. Memory grows by 200 bytes for each
    row. Raises OSError, and Invalid for a file without a prompt, or with too many.
    """
    digests: list[str] = []
    starts: list[int] = []
    start = 0
    with rows.open("rb") as file:
        for line in file:
            digests.append(_digest(_asked(orjson.loads(line), suite)))
            starts.append(start)
            start += len(line)
    if limit is not None and limit > MOST:
        raise Invalid(f"`limit` is {MOST} at most.", param="limit")
    try:
        found = prompts.draw(digests, limit, seed)
    except ValueError as error:
        raise Invalid(str(error), param="data") from None
    if len(found.asked) > MOST:
        raise _too_many(f"{found.of} prompts, and an evaluation asks {MOST} at most")
    _check_samples(len(found.asked), samples)
    first: dict[str, int] = {}
    for digest, at in zip(digests, starts, strict=True):
        first.setdefault(digest, at)
    items = list(_items(rows, [first[digest] for digest in found.asked], suite))
    counts = {"of": found.of, "prompts": len(items), "empty": empty, "repeated": found.repeated}
    return Drawn(items, counts)


def _check_samples(asked: int, samples: int) -> None:
    """Their vectors are in memory together, and are made again if the worker is killed."""
    if samples > 1 and asked * samples > MOST:
        raise Invalid(
            f"{asked:,} prompts with {samples} samples each are {asked * samples:,} answers, and "
            f"{MOST:,} are the most. Set `limit` to {MOST // samples:,} or less: so many prompts "
            "are drawn.",
            param="limit",
        )


def _too_many(what: str) -> Invalid:
    return Invalid(f"The file has {what}. Set `limit`: so many prompts are drawn.", param="limit")


def empty_of(record: File) -> int:
    """How many rows of a file were left out because their prompt is empty."""
    return (record.report or {}).get("dropped", {}).get("empty", 0)


def _items(rows: Path, starts: list[int], suite: Suite) -> Iterator[dict[str, Any]]:
    read_bytes = 0
    with rows.open("rb") as file:
        for place, start in enumerate(starts):
            file.seek(start)
            line = file.readline()
            read_bytes += len(line)
            if read_bytes > MOST_BYTES:
                raise _too_many(f"more than {MOST_BYTES >> 20} MB of prompts")
            row = orjson.loads(line)
            # Answers are asked for with all of a row's turns: nothing of them is cut.
            yield {
                "place": place,
                "line": row["line"],
                "category": storable(row.get("category")),
                "turns": [[as_request(turn) for turn in turns] for turns in _turns(row)],
                "reference": storable(_reference(row, suite)),
                "answers": [],
                "baseline_answers": [],
                "judgments": [],
            }


def _turns(row: dict[str, Any]) -> list[list[Any]]:
    """The messages of each turn; those of a row of pairs are one turn."""
    return row.get("turns") or [row["prompt"]]


def _asked(row: dict[str, Any], suite: Suite) -> Any:
    """What tells rows apart: what is asked, or all of a pair."""
    return pair_of(row) if suite.reads_pairs else _turns(row)


def pair_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of pairs in its normal form without its place in the file."""
    return {name: value for name, value in row.items() if name != "line"}


def _reference(row: dict[str, Any], suite: Suite) -> dict[str, Any]:
    if suite.reads_pairs:
        return {answer: [as_request(turn) for turn in row.get(answer) or []] for answer in ANSWERS}
    given = row.get("row") or {}
    return {key: given[key] for key in suite.fields if key in given}


def _digest(asked: Any) -> str:
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
