"""Reads what trackers keep: TensorBoard's event files, and W&B's offline files."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboardX.proto import event_pb2
from wandb.proto import wandb_internal_pb2

# Protobuf makes these classes when it is imported, so a type checker can't see them.
Event: Any = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue]
Record: Any = wandb_internal_pb2.Record  # pyright: ignore[reportAttributeAccessIssue]

BLOCK_BYTES = 32_768
HEADER = struct.Struct("<IHB")
LAST_PARTS = {1, 4}  # a whole record, and the last part of one


def scalars(folder: Path) -> list[tuple[str, int, float, float]]:
    """Return (name, step, value, time) of each number in the event files of a folder."""
    found = []
    for path in sorted(folder.glob("events.*")):
        for event in _events(path.read_bytes()):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    facts = value.tag, event.step, value.simple_value, event.wall_time
                    found.append(facts)
    return sorted(found)


def texts(folder: Path) -> dict[str, str]:
    """Return the texts in the event files of a folder by their names."""
    return {
        value.tag: value.tensor.string_val[0].decode()
        for path in folder.glob("events.*")
        for event in _events(path.read_bytes())
        for value in event.summary.value
        if value.HasField("tensor")
    }


def _events(content: bytes) -> Iterator[Any]:
    """Records of a TFRecord file: length, its checksum, the event, its checksum."""
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield Event.FromString(content[at + 12 : at + 12 + length])
        at += 16 + length


def wandb_records(folder: Path) -> list[Any]:
    """Return the records of the only offline run below a folder: a log of LevelDB's format, behind
    a header of 7 bytes.
    """
    (path,) = folder.rglob("*.wandb")
    content, at, parts, found = path.read_bytes(), 7, b"", []
    while at + HEADER.size <= len(content):
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < HEADER.size:
            at += left
            continue
        _, length, kind = HEADER.unpack_from(content, at)
        parts += content[at + HEADER.size : at + HEADER.size + length]
        at += HEADER.size + length
        if kind in LAST_PARTS:
            found.append(Record.FromString(parts))
            parts = b""
    return found
