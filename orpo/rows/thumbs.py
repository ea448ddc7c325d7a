"""Answers that were judged one by one, thumb up or down: read, and paired by their prompt.

A first good and a first bad answer to one prompt make a pair, in the order of the file. What waits
for its pair lies on disk, so memory use stays constant.
"""

import errno
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson

from orpo.rows.messages import Message, Pair, Reject, answer, messages

Conversation = tuple[list[Message], list[Message], list[Message] | None]

ANSWERS = ("completion", "response")
MARKS = ("label", "rating")
GOOD = frozenset({"true", "1", "up", "good", "thumbs_up", "thumbsup", "👍", "+1", "like", "yes"})
BAD = frozenset(
    {"false", "0", "-1", "down", "bad", "thumbs_down", "thumbsdown", "👎", "dislike", "no"}
)
OWN = ("line", "chosen", "rejected")  # what two rows with one prompt may differ in
CACHE_KIB = 8 * 1024


def is_thumb(value: dict[str, Any]) -> bool:
    """Whether a row has one answer and a mark, and not the two answers of a pair."""
    if not any(value.get(mark) is not None for mark in MARKS):
        return False
    if any(key in value for key in ("chosen", "rejected", "responses", "rejected_response")):
        return False
    # Beside whole conversations, a label may be anything.
    is_labelled = "messages" in value and isinstance(value.get("label"), bool)
    return is_labelled or any(key in value for key in ANSWERS)


def read_thumb(value: dict[str, Any]) -> Conversation:
    """The prompt and the answer of a row, whose mark is read by `is_good`."""
    is_good(value)
    if value.get("completion") and value.get("response"):
        raise Reject("not_a_pair", "The row has a completion and a response; keep one.")
    name = next((key for key in ANSWERS if value.get(key) is not None), None)
    if name is None:
        turns = answer(value.get("messages"), "messages")
        return turns[:-1], turns[-1:], None
    return messages(value.get("prompt"), "prompt", "user"), answer(value[name], name), None


def is_good(value: dict[str, Any]) -> bool:
    """Whether the thumb of a row is up; raises `Reject` for a mark that is no thumb."""
    name = next(mark for mark in MARKS if value.get(mark) is not None)
    mark = value[name]
    if isinstance(mark, float) and mark.is_integer():
        mark = int(mark)
    spelled = str(mark).strip().lower().replace(" ", "_")
    if spelled in GOOD or spelled in BAD:
        return spelled in GOOD
    raise Reject(
        "not_a_pair",
        f"{name} is {mark!r:.40}; a thumb is true or false, 1 or 0 (or -1), up or down.",
    )


class Waiting(NamedTuple):
    """An answer that no other one was paired with."""

    line: int
    is_good: bool


class Thumbs:
    """Answers that wait for their pair, in a temporary database in `folder`."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.place: TemporaryDirectory[str] | None = None
        self.base: sqlite3.Connection | None = None
        self.seen = 0  # answers; rows of an array may share a line

    def __enter__(self) -> "Thumbs":
        return self

    def __exit__(self, *_: object) -> None:
        if self.base:
            self.base.close()
        if self.place:
            with suppress(OSError):
                self.place.cleanup()

    def _open(self) -> sqlite3.Connection:
        if self.base is None:
            self.place = TemporaryDirectory(prefix=".thumbs.", dir=self.folder)
            base = sqlite3.connect(Path(self.place.name, "thumbs"), isolation_level=None)
            # It is thrown away at the end, so it needs no journal.
            for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
                base.execute(f"PRAGMA {pragma}")
            base.execute(
                "CREATE TABLE waiting (prompt BLOB, good INTEGER, place INTEGER, line INTEGER, "
                "answer BLOB, PRIMARY KEY (prompt, good, place)) WITHOUT ROWID"
            )
            base.execute("BEGIN")
            self.base = base
        return self.base

    def pair(self, thumb: Pair, is_good: bool) -> tuple[Pair, int] | None:
        """The pair that an answer completes, with the line of the earlier one; or None.

        The pair has the line of the later row. Raises OSError where the disk is full.
        """
        try:
            return self._pair(thumb, is_good)
        except sqlite3.OperationalError as error:
            raise OSError(errno.ENOSPC, str(error)) from error

    def _pair(self, thumb: Pair, is_good: bool) -> tuple[Pair, int] | None:
        base = self._open()
        asked = {name: held for name, held in thumb.to_json().items() if name not in OWN}
        key = hashlib.blake2b(orjson.dumps(asked), digest_size=16).digest()
        self.seen += 1
        found = base.execute(
            "SELECT place, line, answer FROM waiting WHERE prompt = ? AND good = ? "
            "ORDER BY place LIMIT 1",
            (key, not is_good),
        ).fetchone()
        if found is None:
            row = (key, is_good, self.seen, thumb.line, orjson.dumps(thumb.chosen))
            base.execute("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", row)
            return None
        place, line, other = found
        base.execute(
            "DELETE FROM waiting WHERE prompt = ? AND good = ? AND place = ?",
            (key, not is_good, place),
        )
        answers = (thumb.chosen, orjson.loads(other))
        chosen, rejected = answers if is_good else answers[::-1]
        return replace(thumb, chosen=chosen, rejected=rejected), line

    def unpaired(self) -> Iterator[Waiting]:
        """The answers that still wait, in the order of the file."""
        if self.base:
            for line, good in self.base.execute("SELECT line, good FROM waiting ORDER BY place"):
                yield Waiting(line, bool(good))
