"""The folders that a tuned model's weights lie in: its adapter, or whole weights, merged once."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from models import Checkpoint
from models.checkpoints import WeightsKind
from services.checkpoints import folder
from services.errors import Invalid, NotFound, Unavailable
from services.settings import get_settings
from services.verbs import VerbError, run_verb


class Format(StrEnum):
    ADAPTER = "adapter"
    MERGED = "merged"


def folder_of(checkpoint: Checkpoint, wanted: Format) -> Path:
    """Return a folder with the weights as `wanted`. Merging takes seconds: hold no transaction."""
    is_full = checkpoint.kind == WeightsKind.FULL
    if wanted == Format.ADAPTER and is_full:
        raise Invalid(
            f"`{checkpoint.model}` was tuned in full and has no adapter. Ask for `format=merged`.",
            param="format",
        )
    if wanted == Format.ADAPTER:
        return _existing(folder(checkpoint) / "adapter")
    return _existing(folder(checkpoint) / "model") if is_full else merged(checkpoint)


def merged_folder(checkpoint: Checkpoint) -> Path:
    """Return where the whole weights of an adapter's checkpoint lie, or will once it is merged."""
    return get_settings().var.absolute() / "merged" / checkpoint.id


def merged(checkpoint: Checkpoint) -> Path:
    """Return whole weights of an adapter's checkpoint, merging them the first time."""
    target = merged_folder(checkpoint)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_suffix(".lock")):
        if not target.exists():
            _merge(_existing(folder(checkpoint)), target)
    return target


def _merge(source: Path, target: Path) -> None:
    """The verb writes beside the target and renames: what is there is whole."""
    try:
        run_verb("merge", str(source), str(target))
    except VerbError as failure:
        raise Unavailable(f"The weights could not be merged: {failure}") from None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process merges the same checkpoint."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _existing(path: Path) -> Path:
    if not path.is_dir():
        raise NotFound("The checkpoint's files are no longer on disk.", param="model")
    return path
