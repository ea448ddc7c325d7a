"""Follow the files that a training run writes, and store what is new in Postgres in batches.

An offset moves on only after its lines were stored, so that a database that was away loses none.
"""

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services import checkpoints, job_events, metrics
from services.database import transaction
from services.storable import storable
from workers.process import note_registered

logger = logging.getLogger(__name__)

Record = dict[str, Any]
# One transaction's worth of lines: some MB at the most, whatever has piled up.
LINES_A_BATCH = 2000
BYTES_A_BATCH = 2_000_000


@dataclass(frozen=True)
class Batch:
    """Records of one file, the offset behind them, and whether the file had more at that time."""

    records: list[Record]
    offset: int
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
                is_cut = file.tell() < os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return self.nothing()
        whole = [line for line in raw[:LINES_A_BATCH] if line.endswith(b"\n")]
        records = [record for line in whole if (record := self._parse(line)) is not None]
        has_more = is_cut or len(raw) > LINES_A_BATCH
        return Batch(records, self.offset + sum(map(len, whole)), has_more)

    def nothing(self) -> Batch:
        return Batch([], self.offset)

    def _parse(self, line: bytes) -> Record | None:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            return storable(record)
        logger.warning("dropped an unreadable line of %s: %r", self.path.name, line[:200])
        return None


@dataclass
class RunTail:
    """All files of one generation of a job, and what they have told so far."""

    run_dir: Path
    job_id: str
    generation: int
    steps: int | None = None
    progress: Record = field(default_factory=dict)
    # The event that says how the run ended: finished, stopped or error.
    outcome: Record | None = None

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
        with transaction() as session:
            metrics.write(session, self.job_id, self.generation, numbers.records)
            metrics.write_pairs(session, self.job_id, self.generation, pairs.records)
            metrics.write_samples(session, self.job_id, self.generation, samples.records)
            for event in events.records:
                self._store(session, event)
        for lines, batch in read:
            lines.offset = batch.offset
        self._learn(events.records, numbers.records)
        return True

    def drain(self) -> None:
        """Store everything that is left."""
        while self.flush():
            pass

    def _store(self, session: Any, event: Record) -> None:
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
                self.steps = event["data"]["steps"]
            elif event["type"] in ("finished", "stopped", "error"):
                self.outcome = event
            elif event["type"] == "checkpoint":
                note_registered(self.run_dir, event["data"]["step"])
        trained = [record for record in numbers if record["split"] == "train"]
        if trained:
            values = trained[-1]["values"]
            self.progress = {
                "step": trained[-1]["step"],
                "steps": self.steps,
                "epoch": values.get("epoch"),
                "trained_tokens": int(values.get("trained_tokens") or 0),
            }
