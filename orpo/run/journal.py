"""The run directory's journal: metrics, events, samples and held-out pairs, one JSON object a line.

Each line is one `write` to a file opened for appending, so that a reader following the file sees
whole lines. Knows the files' names and shapes, not what the numbers mean.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orpo.contract.failures import FOUND_BY_ALL, Code, Failure
from orpo.contract.numbers import PairRecord
from orpo.contract.rundir import EVENTS, METRICS, PAIRS, SAMPLES, Event, Level, Split

FILES = (METRICS, EVENTS, SAMPLES, PAIRS)


class Journal:
    """Appends to the JSONL files of one run directory. Close it, or leave its `with` block.

    If several processes share the directory, one leads; the others write only their errors.
    """

    def __init__(self, run_dir: Path, leads: bool = True) -> None:
        self._leads = leads
        run_dir.mkdir(parents=True, exist_ok=True)
        self._fds = {name: _open(run_dir / name) for name in FILES}
        self._opened_at = os.fstat(self._fds[EVENTS]).st_size

    def metrics(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log the values of one step, by series. NaN becomes null."""
        self._write(METRICS, {"step": step, "t": time.time(), "split": split, "values": values})

    def event(self, type_: Event, message: str, *, level: Level = Level.INFO, **data: Any) -> None:
        """Log what happened, as a sentence for people and `data` for programs."""
        record = {"t": time.time(), "level": level, "type": type_, "message": message, "data": data}
        self._write(EVENTS, record)

    def failure(self, failure: Failure) -> None:
        """Log why this process ends, unless another rank's report is enough.

        That is the case for failures that all ranks detect. It is also the case for an unexplained
        error after an error of another rank: this rank then failed only because the other one
        ended.
        """
        others_tell = failure.code in FOUND_BY_ALL and not self._leads
        if others_tell or (failure.code == Code.INTERNAL and self._tells_an_error()):
            return
        facts = {"code": failure.code, "hint": failure.hint, "param": failure.param}
        status = failure.exit_status
        self.event(Event.ERROR, failure.message, level=Level.ERROR, **facts, exit_code=status)

    def sample(self, record: Mapping[str, Any]) -> None:
        """Log one generated answer and the pair's own answers."""
        self._write(SAMPLES, record)

    def pair(self, record: PairRecord) -> None:
        """Log one held-out pair's numbers at one evaluation."""
        self._write(PAIRS, asdict(record))

    def sync(self) -> None:
        """Force everything written so far to the disk (before a checkpoint is committed)."""
        for fd in self._fds.values():
            os.fsync(fd)

    def close(self) -> None:
        """Close the files; writing afterwards is an error."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tells_an_error(self) -> bool:
        """Whether an error was logged, by any process, since this journal was opened."""
        size = os.fstat(self._fds[EVENTS]).st_size
        lines = os.pread(self._fds[EVENTS], size, self._opened_at).splitlines()
        return any(json.loads(line)["level"] == Level.ERROR for line in lines)

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        if not self._leads and record.get("level") != Level.ERROR:
            return
        line = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False) + "\n"
        data = memoryview(line.encode())
        while data:
            data = data[os.write(self._fds[name], data) :]


def _open(path: Path) -> int:
    """Open for appending; first end a line that a killed process left half-written."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        os.write(fd, b"\n")
    return fd


def _finite(value: Any) -> Any:
    """The same value with NaN and infinities replaced by None: JSON has no name for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
