"""Store what a training run writes in Postgres, in batches.

An offset is advanced only after its lines were stored, so that no line is lost if the database is
away.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy.orm import Session

from orpo.contract.numbers import Series
from orpo.contract.rundir import (
    Event,
    Level,
    Split,
)
from services.launchers.local import note_registered
from services.platform.database import transaction
from services.runs import checkpoints, job_events, metrics, series
from services.runs.follow import Batch, Journal, Record

logger = logging.getLogger(__name__)

# A run this far ahead writes faster than can be stored; hours of ordinary steps take fewer bytes.
MOST_BEHIND_BYTES = 16 * 2**20
# Until the tail has caught up, one line in so many is stored; a curve still spans the whole run.
KEPT_ONE_IN = 20


class LeftOut(StrEnum):
    """Why numbers of a run are not stored."""

    TOO_FAST = "too_fast"
    TOO_MANY_NAMES = "too_many_names"


SENTENCES = {
    LeftOut.TOO_FAST: "The run writes numbers faster than they can be stored. Until that ends, one "
    f"in {KEPT_ONE_IN} training steps is stored; the files of the run hold all.",
    LeftOut.TOO_MANY_NAMES: f"The run writes more than {metrics.NAMES_A_JOB} series. Numbers of "
    "further names are left out; the files of the run hold them.",
}


@dataclass
class RunTail(Journal):
    """The journal of one generation of a job, and how much of it is stored."""

    job_id: str
    generation: int
    progress: Record = field(default_factory=dict)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    # The job's series; None until the earlier ones were read.
    _series: set[str] | None = None
    _hurries: bool = False

    def flush(self) -> bool:
        """Store what is new and return whether there was anything.

        Events are read first and stored last: when a checkpoint is registered, every number that
        the run wrote before it is stored too, and a resumed run leaves no gap.
        """
        files = (self.events, self.metrics, self.pairs, self.samples)
        events, numbers, pairs, samples = (lines.read() for lines in files)
        # Lines beyond a batch stay for the next round, and the events wait for them.
        if numbers.has_more or pairs.has_more or samples.has_more:
            events = self.events.nothing()
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
        self._note(events.records, numbers.records)
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
            if place % KEPT_ONE_IN == 0 or record["split"] != Split.TRAIN
        ]

    def _store_numbers(self, session: Session, records: list[Record]) -> int:
        if self._series is None:
            self._series = set(series.keys_of(session, self.job_id))
        return metrics.write(session, self.job_id, self.generation, records, self._series)

    def _warn(self, session: Session, left_out: Counter[LeftOut]) -> None:
        """Record an event once for each reason; the progress has the number of values left out."""
        for reason in left_out.keys() - self.left_out.keys():
            if left_out[reason]:
                message, data = SENTENCES[reason], {"kind": "left_out", "reason": reason}
                owner = (session, self.job_id, self.generation)
                job_events.record(*owner, message=message, level=Level.WARN, data=data)

    def _store(self, session: Session, event: Record) -> None:
        data = event.get("data") or {}
        if event["type"] == Event.CHECKPOINT:
            saved = checkpoints.register(session, self.job_id, self.generation, data)
            data = {**data, "checkpoint": saved.id, "model": saved.model}
        job_events.record(
            session,
            self.job_id,
            self.generation,
            message=event["message"],
            level=Level(event.get("level", Level.INFO)),
            data={"kind": event["type"], **data},
        )

    def _note(self, events: list[Record], numbers: list[Record]) -> None:
        for event in events:
            if self.learn(event) is Event.CHECKPOINT:
                note_registered(self.run_dir, event["data"]["step"])
        trained = [record for record in numbers if record["split"] == Split.TRAIN]
        if trained:
            latest = trained[-1]["values"]
            self.progress = {
                "step": trained[-1]["step"],
                "steps": self.steps,
                "epoch": latest.get(Series.EPOCH),
                "trained_tokens": int(latest.get(Series.TRAINED_TOKENS) or 0),
            }
            if self.left_out:
                self.progress["left_out"] = dict(self.left_out)


def values(records: list[Record]) -> int:
    return sum(len(record["values"]) for record in records)
