"""Makes the bytes of a version, in the `files` queue, before they are validated like an upload."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import File
from orpo.audit import recipe as recipes
from orpo.contract.failures import Code
from services.files import versions
from services.platform import storage
from services.platform.database import transaction
from services.platform.errors import TooLarge, is_disk_full
from services.processes.verbs import VerbError

logger = logging.getLogger("oddsmith.workers")

# How long a recipe may take: this long, and more for large parents on a slow disk.
MAKE_S = 120
SLOWEST_BYTES_A_S = 2e6
DISK_FULL = "The disk of the storage is full: free some space and make the version again."


def make(record: File, follow: Callable[[Path], None]) -> str | None:
    """Make the bytes of a file that is a version; return why that failed, or None.

    Nothing happens for an upload, nor for a version that an earlier attempt has made. `follow`
    is called while the recipe runs, with the file that says how far it is.
    """
    if versions.is_made(record):
        return None
    with transaction() as session:
        parents = versions.parents_of(session, record)
    steps = recipes.parse(record.recipe)
    timeout_s = MAKE_S + sum(parent.size_bytes for parent in parents) / SLOWEST_BYTES_A_S
    try:
        with storage.writing_path(record.storage_key) as out:
            done = versions.make(parents, steps, out, timeout_s=timeout_s, follow=follow)
    except FileNotFoundError:
        return "The rows of a file or a deep audit that it is made of are gone."
    except OSError as error:
        if is_disk_full(error):
            return DISK_FULL
        return f"It could not be made: {error.strerror}. Make it again."
    except VerbError as failure:
        logger.warning("a version could not be made: %s", failure)
        return _why(failure)
    return _finish(record, done)


def _finish(record: File, done: dict[str, Any]) -> str | None:
    """Register the bytes, or remove them and return why they can't be kept."""
    try:
        with transaction() as session:
            versions.finish_making(session, record.id, done)
    except TooLarge as error:
        storage.delete(record.storage_key)
        return error.message
    logger.info("made a version", extra={"steps": done["steps"]})
    return None


def _why(failure: VerbError) -> str:
    match failure.error.get("code"):
        case Code.DISK_FULL:
            return DISK_FULL
        case Code.BAD_DATA | Code.BAD_SPEC | Code.TIMEOUT | Code.KILLED | Code.LIMIT:
            return versions.why(failure)
    return (
        "The recipe failed because of a server error. The log of the files worker has the details."
    )
