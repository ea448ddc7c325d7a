"""Follow the files that a training run writes, and store what is new in Postgres in batches.

An offset moves on only after its lines were stored, so that a database that was away loses none.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.orm import Session

from services import checkpoints, job_events, metrics, series
from services.database import transaction
from services.sizes import STORED_BYTES
from services.storable import storable
from workers.process import note_registered

logger = logging.getLogger(__name__)

Record = dict[str, Any]
# One transaction's worth of lines: some MB at the most, whatever has piled up.
LINES_A_BATCH = 2000
BYTES_A_BATCH = 2_000_000
# A run this far ahead writes faster than can be stored: hours of ordinary steps are less.
MOST_BEHIND_BYTES = 16 * 2**20
# Until it is caught up with, one line in so many is stored; a curve still spans the whole run.
KEPT_ONE_IN = 20


class LeftOut(StrEnum):
    """Why numbers of a run are not stored."""

    TOO_FAST = "too_fast"
    TOO_MANY_NAMES = "too_many_names"


SENTENCES = {
    LeftOut.TOO_FAST: "The run writes numbers faster than they can be stored. Until that ends, of "
    f"{KEPT_ONE_IN} training steps one is stored; the files of the run hold all.",
    LeftOut.TOO_MANY_NAMES: f"The run writes more than {metrics.NAMES_A_JOB} series. Numbers of "
    "further names are left out; the files of the run hold them.",
}


@dataclass(frozen=True)
class Batch:
    """Records of one file, the offset behind them, and how far behind its end that was."""

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
        """Return what is new, up to a batch; `offset` itself stays."""
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

    def nothing(self) -> Batch:
        return Batch([], self.offset)

    def _parse(self, line: bytes) -> Record | None:
        try:
            record = orjson.loads(line)
        except ValueError:
            record = self._parse_leniently(line)
        if isinstance(record, dict):
            # Of what orjson accepts nothing else can't be stored, or is too large.
            is_suspect = b"\\u" in line or len(line) > STORED_BYTES
            return storable(record) if is_suspect else record
        logger.warning("dropped an unreadable line of %s: %r", self.path.name, line[:200])
        return None

    @staticmethod
    def _parse_leniently(line: bytes) -> Any:
        """NaN, infinities and halves of surrogate pairs, which are no JSON but may be meant."""
        try:
            return json.loads(line)
        except ValueError:
            return None


@dataclass
class RunTail:
    """All files of one generation of a job, and what they have told so far."""

    run_dir: Path
    job_id: str
    generation: int
    # The data of the events `started` or `resumed`, and `estimated`.
    started: Record = field(default_factory=dict)
    estimate: Record | None = None
    progress: Record = field(default_factory=dict)
    # The event that says how the run ended: finished, stopped or error.
    outcome: Record | None = None
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    # The job's series, once it is known which there were before.
    _series: set[str] | None = None
    _hurries: bool = False

    @property
    def steps(self) -> int | None:
        """Steps of the whole run, once it has begun."""
        return self.started.get("steps")

    def __post_init__(self) -> None:
        self._events, self._metrics, self._pairs, self._samples = (
            Lines(self.run_dir / f"{name}.jsonl")
            for name in ("events", "metrics", "pairs", "samples")
        )

    def flush(self) -> bool:
        """Store what is new and return whether there was anything.

        Events are read first and stored last: when a checkpoint is registered, every number that
        the run wrote before it is stored too, and a resumed run leaves no gap.
        """
        files = (self._events, self._metrics, self._pairs, self._samples)
        events, numbers, pairs, samples = (lines.read() for lines in files)
        # Lines beyond a batch stay for the next round, and the events wait for them.
        if numbers.has_more or pairs.has_more or samples.has_more:
            events = self._events.nothing()
        read = list(zip(files, (events, numbers, pairs, samples), strict=True))
        if all(batch.offset == lines.offset for lines, batch in read):
            return False
        kept = self._affordable(numbers)
        left_out = Counter({LeftOut.TOO_FAST: values(numbers.records) - values(kept)})
        with transaction() as session:
            left_out[LeftOut.TOO_MANY_NAMES] = self._store_numbers(session, kept)
            metrics.write_pairs(session, self.job_id, self.generation, pairs.records)
            metrics.write_samples(session, self.job_id, self.generation, samples.records)
            for event in events.records:
                self._store(session, event)
            self._warn(session, left_out)
        for lines, batch in read:
            lines.offset = batch.offset
        self.left_out += left_out
        self._learn(events.records, numbers.records)
        return True

    def drain(self, after_each: Callable[[], None] = lambda: None) -> None:
        """Store everything that is left, in as many batches as that takes."""
        while self.flush():
            after_each()

    def _affordable(self, numbers: Batch) -> list[Record]:
        """What is stored of a batch: all of it, unless the run is too far ahead."""
        too_far = numbers.behind_bytes > MOST_BEHIND_BYTES
        self._hurries = too_far or (self._hurries and numbers.has_more)
        if not self._hurries:
            return numbers.records
        return [
            record
            for place, record in enumerate(numbers.records)
            if place % KEPT_ONE_IN == 0 or record["split"] != "train"
        ]

    def _store_numbers(self, session: Session, records: list[Record]) -> int:
        if self._series is None:
            self._series = set(series.keys_of(session, self.job_id))
        return metrics.write(session, self.job_id, self.generation, records, self._series)

    def _warn(self, session: Session, left_out: Counter[LeftOut]) -> None:
        """Tell once of each reason; how many numbers it cost stands in the progress."""
        for reason in left_out.keys() - self.left_out.keys():
            if left_out[reason]:
                message, data = SENTENCES[reason], {"kind": "left_out", "reason": reason}
                owner = (session, self.job_id, self.generation)
                job_events.record(*owner, message=message, level="warn", data=data)

    def _store(self, session: Session, event: Record) -> None:
        data = event.get("data") or {}
        if event["type"] == "checkpoint":
            saved = checkpoints.register(session, self.job_id, self.generation, data)
            data = {**data, "checkpoint": saved.id, "model": saved.model}
        job_events.record(
            session,
            self.job_id,
            self.generation,
            message=event["message"],
            level=event.get("level", "info"),
            data={"kind": event["type"], **data},
        )

    def _learn(self, events: list[Record], numbers: list[Record]) -> None:
        for event in events:
            if event["type"] in ("started", "resumed"):
                self.started = event["data"]
            elif event["type"] == "estimated":
                self.estimate = event["data"]
            elif event["type"] in ("finished", "stopped", "error"):
                self.outcome = event
            elif event["type"] == "checkpoint":
                note_registered(self.run_dir, event["data"]["step"])
        trained = [record for record in numbers if record["split"] == "train"]
        if trained:
            latest = trained[-1]["values"]
            self.progress = {
                "step": trained[-1]["step"],
                "steps": self.steps,
                "epoch": latest.get("epoch"),
                "trained_tokens": int(latest.get("trained_tokens") or 0),
            }
            if self.left_out:
                self.progress["left_out"] = dict(self.left_out)


def values(records: list[Record]) -> int:
    return sum(len(record["values"]) for record in records)
