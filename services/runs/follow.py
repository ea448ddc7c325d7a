"""Follow the journal of a run directory: what is new in its files, and what it says of the run.

`oddsmith train` and the train worker both read runs here. Knows the names of files and events
(`orpo.contract.rundir`); knows no database and no screen.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from orpo.contract.rundir import ENDS, EVENTS, METRICS, PAIRS, RESULTS, SAMPLES, STARTS, Event
from services.platform.errors import OddsmithError
from services.platform.sizes import STORED_BYTES
from services.platform.storable import storable

logger = logging.getLogger(__name__)

Record = dict[str, Any]
# What is read at once: some MB at the most, so that it fits into one transaction.
LINES_A_BATCH = 2000
BYTES_A_BATCH = 2_000_000


class UnknownEventError(OddsmithError):
    """The journal holds an event of a type that this release doesn't know."""


@dataclass(frozen=True)
class Batch:
    """Records of one file, the offset after them, and how many bytes followed that offset."""

    records: list[Record]
    offset: int
    behind_bytes: int = 0
    has_more: bool = False


@dataclass
class Lines:
    """The complete lines of one growing file. A torn last line waits for its rest."""

    path: Path
    offset: int = 0

    def read(self) -> Batch:
        """Return what is new, up to a batch; does not change `offset`."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                raw = file.readlines(BYTES_A_BATCH)
                size_bytes = os.fstat(file.fileno()).st_size
                is_cut = file.tell() < size_bytes
        except FileNotFoundError:
            return self.nothing()
        whole = [line for line in raw[:LINES_A_BATCH] if line.endswith(b"\n")]
        records = [record for line in whole if (record := self._parse(line)) is not None]
        offset = self.offset + sum(map(len, whole))
        has_more = is_cut or len(raw) > LINES_A_BATCH
        return Batch(records, offset, size_bytes - offset, has_more)

    def take(self) -> Iterator[Record]:
        """Yield all that is new, and advance `offset`."""
        while True:
            batch = self.read()
            self.offset = batch.offset
            yield from batch.records
            if not batch.has_more:
                return

    def nothing(self) -> Batch:
        return Batch([], self.offset)

    def _parse(self, line: bytes) -> Record | None:
        try:
            record = orjson.loads(line)
        except ValueError:
            record = self._parse_leniently(line)
        if isinstance(record, dict):
            # Of the lines that orjson accepts, only these can be too large or impossible to store.
            is_suspect = b"\\u" in line or len(line) > STORED_BYTES
            return storable(record) if is_suspect else record
        logger.warning("dropped an unreadable line of %s: %r", self.path.name, line[:200])
        return None

    @staticmethod
    def _parse_leniently(line: bytes) -> Any:
        """Accept NaN, infinities and halves of surrogate pairs, which are not valid JSON."""
        try:
            return json.loads(line)
        except ValueError:
            return None


@dataclass
class Journal:
    """The files of one run directory, and what was read of them so far."""

    run_dir: Path
    # The data of the events `started` or `resumed`, and `estimated` or `audited`.
    started: Record = field(default_factory=dict, init=False)
    result: Record | None = field(default=None, init=False)
    # The event that says how the run ended: finished, stopped or error.
    outcome: Record | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.events, self.metrics, self.pairs, self.samples = (
            Lines(self.run_dir / name) for name in (EVENTS, METRICS, PAIRS, SAMPLES)
        )

    @property
    def steps(self) -> int | None:
        """Steps of the whole run, once it has begun."""
        return self.started.get("steps")

    def learn(self, event: Record) -> Event:
        """Note what an event says of the run, and return its type.

        Raises UnknownEventError for one of a newer release.
        """
        try:
            kind = Event(event["type"])
        except ValueError:
            raise UnknownEventError(
                f"{EVENTS} of {self.run_dir} holds an event of the type '{event['type']}', which "
                "this release doesn't know. Read the run with the release that wrote it."
            ) from None
        if kind in STARTS:
            self.started = event["data"]
        elif kind in RESULTS:
            self.result = event["data"]
        elif kind in ENDS:
            self.outcome = event
        return kind
