"""Prompts that stand in two files, apart from white space, case and system messages; and prompts
that are nearly the same.

Near ones share four fifths of their eight-byte pieces: MinHash (`near.py`) finds candidates, the
texts decide. Memory grows by about 500 bytes a prompt. Knows rows in their normal form.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from orpo.audit import near, personal
from orpo.audit.copies import mix
from orpo.audit.near import BANDS, HASHES, ROWS_OF_BAND, Signatures
from orpo.audit.texts import Turn, folded_turns, text_of
from orpo.contract.failures import Code, Failure
from orpo.rows.column_names import Columns
from orpo.rows.prompts import read_prompts

LINES = 10_000  # as many a step of a recipe may name
PAIRS = 10
SHOWN = 300  # characters of a prompt
BLOCK_BYTES = 2**21
MOST_BYTES = 2**30  # of prompts that are written in their normal form
OF_BUCKET = 4  # prompts of the other file that one is compared with for each band
SHARES_AT_ONCE = 2**15
NONE = -1

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Prompts:
    """The prompts of a file of rows in normal form: of each row its line, where it begins, and a
    hash [n] of what is asked, which is comparable within this process.
    """

    path: Path
    line: NDArray[np.uint32]
    start: NDArray[np.uint64]
    hash: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> "Prompts":
        """Read a file of rows. Raises OSError."""
        lines, starts, hashes, start = array("I"), array("Q"), array("q"), 0
        with path.open("rb") as file:
            for raw in file:
                row = orjson.loads(raw)
                lines.append(min(row["line"], 2**32 - 1))
                starts.append(start)
                hashes.append(hash(folded_turns(asked(row["prompt"]))))
                start += len(raw)
        return cls(path, *map(np.asarray, (lines, starts, hashes)))

    @cached_property
    def firsts(self) -> Places:
        """The places of the first row of each prompt, in the order of their hashes."""
        return np.unique(self.hash, return_index=True)[1]

    @cached_property
    def signatures(self) -> Signatures:
        """The MinHash signatures [firsts, HASHES]."""
        parts: list[Signatures] = []
        texts: list[bytes] = []
        n_bytes = 0
        for turns in self.turns_at(self.firsts):
            texts.append(folded_turns(turns))
            n_bytes += len(texts[-1])
            if n_bytes > BLOCK_BYTES:
                parts.append(near.signatures(texts))
                texts, n_bytes = [], 0
        return near.joined([*parts, near.signatures(texts)])

    def turns_at(self, places: Sequence[int] | Places) -> Iterator[list[Turn]]:
        """Yield what is asked in the rows at these places. Raises OSError."""
        with self.path.open("rb") as file:
            for place in places:
                yield self.turns(file, int(place))

    def turns(self, file: IO[bytes], place: int) -> list[Turn]:
        """What is asked in a row, whose file is open."""
        file.seek(int(self.start[place]))
        return asked(orjson.loads(file.readline())["prompt"])


def asked(turns: Sequence[Turn]) -> list[Turn]:
    """The turns of a prompt without those of the system, unless it has no others."""
    return [turn for turn in turns if turn["role"] != "system"] or list(turns)


def normal(source: Path, filename: str, columns: Columns | None, out: Path) -> int:
    """Write the prompts of a file that holds no pairs to `out`; return how many rows have none.

    Raises OSError, and Failure if no prompt is found or there are too many.
    """
    missing, written = 0, 0
    with out.open("wb") as file:
        for line, turns in read_prompts(source, filename, columns):
            prompt: list[Turn] = [{**turn} for turn in turns or ()]
            if not text_of(asked(prompt)).strip():
                missing += 1
                continue
            row = {"line": line, "prompt": prompt}
            written += file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            if written > MOST_BYTES:
                raise Failure(
                    Code.BAD_DATA,
                    f"{filename} holds more than {MOST_BYTES >> 30} GB of prompts.",
                    "Split it.",
                    "against",
                )
    if not written:
        raise Failure(
            Code.BAD_DATA,
            f"No prompt was found in {filename}.",
            "Each row needs text or messages in `prompt`, `question`, `messages`, `instruction` "
            "or `input`; name another column when you upload it.",
            "against",
        )
    return missing


class Matches(NamedTuple):
    """Of each row [n] the place of the row of the other file with the same prompt, or with a nearly
    equal one, or NONE; and how similar the two are, 1 for the same.
    """

    same: Places
    alike: Places
    similarity: NDArray[np.float32]


def matches(mine: Prompts, theirs: Prompts, *, exact: bool = False) -> Matches:
    """Compare the prompts of two files; with `exact`, nearly equal ones are not looked for."""
    known = theirs.hash[theirs.firsts]
    at = np.minimum(np.searchsorted(known, mine.hash), max(0, len(known) - 1))
    is_same = known[at] == mine.hash if len(known) else np.zeros(len(mine.hash), bool)
    same = np.where(is_same, theirs.firsts[at], NONE) if len(known) else _none(mine)
    alike, similarity = _none(mine), is_same.astype(np.float32)
    if not exact and len(known) and len(mine.hash):
        # By the first row of each prompt, then spread to all rows with that prompt.
        of_first, how = _alike(mine, theirs, ~is_same[mine.firsts])
        first_of = np.searchsorted(mine.hash[mine.firsts], mine.hash)
        alike = of_first[first_of]
        similarity = np.where(is_same, 1, how[first_of]).astype(np.float32)
    return Matches(same, alike, similarity)


def _none(mine: Prompts) -> Places:
    return np.full(len(mine.hash), NONE, np.int64)


def _alike(mine: Prompts, theirs: Prompts, wanted: Flags) -> tuple[Places, NDArray[np.float32]]:
    """Of each wanted first row of a prompt, a nearly equal row of the other file, or NONE."""
    found = np.full(len(wanted), NONE, np.int64)
    similarity = np.zeros(len(wanted), np.float32)
    places = np.flatnonzero(wanted)
    likest, shares = _likest(mine.signatures[places], theirs.signatures)
    worth = np.flatnonzero(shares >= near.WORTH_A_LOOK)
    with mine.path.open("rb") as own, theirs.path.open("rb") as other:
        for n_compared, one in enumerate(worth.tolist()):
            at, place = int(places[one]), int(theirs.firsts[likest[one]])
            share, least = float(shares[one]), near.ALIKE_BY_HASHES
            if n_compared < near.MOST_COMPARED:
                texts = (mine.turns(own, int(mine.firsts[at])), theirs.turns(other, place))
                share, least = near.similarity(*map(folded_turns, texts)), near.ALIKE
            if share >= least:
                found[at], similarity[at] = place, share
    return found, similarity


def _likest(mine: Signatures, theirs: Signatures) -> tuple[Places, NDArray[np.float32]]:
    """Of each row [n] the row of the other file with the most equal hashes, among those that have
    all hashes of a band in common with it; and the share of equal hashes, 0 if there is none.
    """
    likest, shares = np.zeros(len(mine), np.int64), np.zeros(len(mine), np.float32)
    for band in range(BANDS):
        keys, known = _keys(mine, band), _keys(theirs, band)
        order = np.argsort(known, kind="stable")
        low, high = (np.searchsorted(known[order], keys, side) for side in ("left", "right"))
        for step in range(OF_BUCKET):
            one = np.flatnonzero(low + step < high)
            two = order[low[one] + step]
            share = _shares(mine, theirs, one, two)
            better = share > shares[one]
            likest[one[better]], shares[one[better]] = two[better], share[better]
    return likest, shares


def _keys(signatures: Signatures, band: int) -> NDArray[np.uint64]:
    columns = signatures[:, band * ROWS_OF_BAND : (band + 1) * ROWS_OF_BAND].astype(np.uint64)
    keys = columns[:, 0]
    for column in range(1, ROWS_OF_BAND):
        keys = mix(keys, columns[:, column])
    return keys


def _shares(mine: Signatures, theirs: Signatures, one: Places, two: Places) -> NDArray[np.float32]:
    """The share of equal hashes of each pair."""
    parts = [np.empty(0, np.float32)]
    for at in range(0, len(one), SHARES_AT_ONCE):
        some = slice(at, at + SHARES_AT_ONCE)
        equal = np.count_nonzero(mine[one[some]] == theirs[two[some]], axis=1)
        parts.append((equal / HASHES).astype(np.float32))
    return np.concatenate(parts)


class Other(NamedTuple):
    """Another file: its prompts, and how many of its rows have none."""

    prompts: Prompts
    missing: int = 0


def found(
    rows: Path, others: Sequence[Other], *, unmask: bool = False, exact: bool = False
) -> dict[str, Any]:
    """Which rows of a file have a prompt that stands in one of the others, as JSON values.

    `same` and `near` count rows and name their lines (the first 10,000); a row of both is `same`.
    `against` has the same of each file, with the first ten rows and those that they meet. Texts are
    cut, and personal data and secrets in them are masked unless `unmask` is set. Raises OSError.
    """
    mine = Prompts.read(rows)
    n = len(mine.hash)
    same, alike, against = np.zeros(n, bool), np.zeros(n, bool), []
    for other in others:
        met = matches(mine, other.prompts, exact=exact)
        same |= met.same != NONE
        alike |= met.alike != NONE
        against.append(
            {
                "prompts": len(other.prompts.firsts),
                "without_prompt": other.missing,
                "same": _met(mine, other.prompts, met.same, met.similarity, unmask),
                "near": _met(mine, other.prompts, met.alike, met.similarity, unmask),
            }
        )
    return {
        "rows": n,
        "same": _named(mine, same),
        "near": _named(mine, alike & ~same),
        "against": against,
    }


def _named(mine: Prompts, wanted: Flags) -> dict[str, Any]:
    lines = mine.line[np.flatnonzero(wanted)]
    # Rows of an array may share a line.
    return {"rows": len(lines), "lines": np.unique(lines)[:LINES].tolist()}


def _met(
    mine: Prompts, theirs: Prompts, place: Places, similarity: NDArray[np.float32], unmask: bool
) -> dict[str, Any]:
    places = np.flatnonzero(place != NONE)
    first = places[:PAIRS]
    texts = [
        [_shown(turns, unmask) for turns in prompts.turns_at(some)]
        for prompts, some in ((mine, first), (theirs, place[first]))
    ]
    return {
        "rows": len(places),
        "pairs": [
            {
                "line": int(mine.line[at]),
                "prompt": own,
                "against_line": int(theirs.line[place[at]]),
                "against_prompt": other,
                "similarity": round(float(similarity[at]), 3),
            }
            for at, own, other in zip(first, *texts, strict=True)
        ],
    }


def _shown(turns: Sequence[Turn], unmask: bool) -> str:
    """The first characters of a prompt. It is masked before it is cut: half of a secret would not
    be recognised.
    """
    text = text_of(turns)
    text = text if unmask else personal.masked(text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
