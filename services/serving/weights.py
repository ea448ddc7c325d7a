"""Where a tuned model's weights are: its adapter, and what is made from it once (a folder of merged
weights, a GGUF file).
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from models import Checkpoint
from models.checkpoints import WeightsKind
from orpo.contract.failures import Code
from orpo.contract.rundir import ADAPTER, MODEL
from services.platform import folders
from services.platform.errors import Invalid, NotFound, Unavailable
from services.platform.settings import get_settings
from services.processes.verbs import VerbError, run_verb
from services.runs.checkpoints import folder


class Format(StrEnum):
    ADAPTER = "adapter"
    MERGED = "merged"
    GGUF = "gguf"


# The verb that makes each of the other formats, and the words for it in an error message.
MADE_BY = {Format.MERGED: ("merge", "merged"), Format.GGUF: ("gguf", "written as GGUF")}


def find(checkpoint: Checkpoint, wanted: Format) -> Path:
    """Return a folder with the weights as `wanted`, or the GGUF file.

    Making these takes seconds to minutes: hold no transaction. Raises Invalid if the model does not
    exist in this format, and Unavailable if it could not be made.
    """
    is_full = checkpoint.kind == WeightsKind.FULL
    if wanted == Format.ADAPTER and is_full:
        raise Invalid(
            f"`{checkpoint.model}` was tuned in full and has no adapter. Ask for `format=merged`.",
            param="format",
        )
    if wanted == Format.GGUF:
        return gguf(checkpoint)
    if wanted == Format.ADAPTER:
        return _existing(folder(checkpoint) / ADAPTER)
    return _existing(folder(checkpoint) / MODEL) if is_full else merged(checkpoint)


def find_made(checkpoint: Checkpoint, wanted: Format) -> Path | None:
    """Return the weights as `find` does, or None where they would first have to be made."""
    is_full = checkpoint.kind == WeightsKind.FULL
    if wanted == Format.ADAPTER or (wanted == Format.MERGED and is_full):
        return find(checkpoint, wanted)
    target = merged_folder(checkpoint)
    target = target.with_suffix(".gguf") if wanted == Format.GGUF else target
    return target if target.exists() else None


def merged_folder(checkpoint: Checkpoint) -> Path:
    """Return where the whole weights of an adapter's checkpoint lie, or will once it is merged."""
    return get_settings().var.absolute() / "merged" / checkpoint.id


def made_of(checkpoint_id: str) -> tuple[Path, Path, Path]:
    """Return where a checkpoint's merged weights, its GGUF file, and the lock of both lie."""
    whole = get_settings().var.absolute() / "merged" / checkpoint_id
    return whole, whole.with_suffix(".gguf"), whole.with_suffix(".lock")


def merged(checkpoint: Checkpoint) -> Path:
    """Return whole weights of an adapter's checkpoint, merging them the first time."""
    return _made_once(checkpoint, Format.MERGED, merged_folder(checkpoint))


def gguf(checkpoint: Checkpoint) -> Path:
    """Return a GGUF file of a checkpoint, writing and proving it the first time."""
    return _made_once(checkpoint, Format.GGUF, merged_folder(checkpoint).with_suffix(".gguf"))


def _made_once(checkpoint: Checkpoint, wanted: Format, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_suffix(".lock")):
        if not target.exists():
            source = _existing(folder(checkpoint))
            with folders.held(source):
                _make(wanted, source, target)
    os.utime(target)  # it counts as used from now on
    return target


def _make(wanted: Format, source: Path, target: Path) -> None:
    """Run the verb in a scratch folder, the only one that it may change, and move the result."""
    verb, done = MADE_BY[wanted]
    scratch = target.with_name(f"{target.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        run_verb(verb, str(source), str(scratch / target.name))
        (scratch / target.name).rename(target)
    except VerbError as failure:
        if failure.error.get("code") == Code.NOT_EXPORTABLE:
            raise Invalid(f"{failure} Ask for `format=merged`.", param="format") from None
        raise Unavailable(f"The weights could not be {done}: {failure}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process makes anything of the same checkpoint."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _existing(path: Path) -> Path:
    if not path.is_dir():
        raise NotFound("The checkpoint's files are no longer on disk.", param="model")
    return path
