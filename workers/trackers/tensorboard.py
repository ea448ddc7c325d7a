"""TensorBoard: an event file in `trackers/JOB/PLACE` of the folder for all files.

Passes append to it. Before, a pass cuts off what an earlier one has written without noting its
position. An event file is a TFRecord file: length, its checksum, the event, its checksum.
"""

import json
import os
import struct
import time
from typing import Any

from tensorboardX import summary
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from workers.trackers.tracker import Run, SampledAnswer, Step

# Protobuf makes this class when it is imported, so a type checker can't see it.
Event: Any = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue]
FILE = "events.out.tfevents.oddsmith"
VERSION = "brain.Event:2"


class TensorBoard:
    def begin(self, run: Run) -> str | None:
        run.folder.mkdir(parents=True, exist_ok=True)
        self._file = (run.folder / FILE).open("ab")
        kept_bytes = min(run.kept_bytes, self._file.tell())
        self._file.truncate(kept_bytes)
        if not kept_bytes:
            self._write(Event(wall_time=time.time(), file_version=VERSION))
            facts = json.dumps(run.facts, indent=2, ensure_ascii=False)
            self._write_text("settings", f"```\n{facts}\n```", 0)
        return run.key

    def _write_text(self, name: str, text: str, step: int) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=summary.text(name, text)))

    def _write(self, event: Any) -> None:
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        for part in (length, content):
            self._file.write(part + struct.pack("<I", masked_crc32c(part)))

    def steps(self, steps: list[Step]) -> None:
        for each in steps:
            for name, value in each.values.items():
                shown = summary.scalar(name, value)
                self._write(Event(wall_time=each.t, step=each.step, summary=shown))

    def samples(self, samples: list[SampledAnswer]) -> None:
        for each in samples:
            text = f"**Prompt**\n\n{each.prompt}\n\n**Answer**\n\n{each.answer}"
            self._write_text(f"samples/line-{each.line}", text, each.step)

    def flush(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def end(self, state: str | None) -> None:  # noqa: ARG002 - event files know no end
        self._file.close()
