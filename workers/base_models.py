"""Make the folder of a base that is `downloading` or `merging`: the prepare worker's other work."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from sqlalchemy.exc import OperationalError

from models import BaseModelRecord, Checkpoint
from models.base_models import IN_THE_MAKING, BaseModelStatus
from services.files import base_models, hub
from services.platform.database import transaction
from services.platform.errors import (
    Conflict,
    DiskFull,
    Invalid,
    NotFound,
    OddsmithError,
    is_disk_full,
)
from services.processes.verbs import VerbError, run_verb
from services.serving import weights
from services.serving.weights import Format

logger = logging.getLogger(__name__)

FOLD_S = 3600.0  # a large base is read from a slow disk, and written again


def make_base(base_model: str) -> None:
    """Make the folder of a base that is `downloading` or `merging`, check it, and mark it ready or
    in error.
    """
    with transaction() as session:
        record = session.get(BaseModelRecord, base_model)
    if record is None or record.deleted_at or record.status not in IN_THE_MAKING:
        return
    fetch(record)


def _see_that_it_is_wanted(record: BaseModelRecord) -> None:
    """Raise Conflict, which ends the work, if the model was deleted or registered otherwise."""
    with suppress(OperationalError), transaction() as session:
        now = session.get_one(BaseModelRecord, record.id)
        wanted = now.deleted_at is None and (now.path, now.status) == (record.path, record.status)
        if not wanted:
            raise Conflict(f"`{record.id}` was deleted.", param="id")


def fetch(record: BaseModelRecord) -> None:
    info, failure = record.info, None
    try:
        if record.status == BaseModelStatus.MERGING:
            merge(record)
        else:
            wanted = partial(_see_that_it_is_wanted, record)
            hub.download(info["hub_id"], record.revision, Path(record.path), wanted)
        info = info | base_models.check_folder(record.path)
    except OddsmithError as error:
        failure = error.message
    except Exception as error:
        # Not raised: the keeper would send it again and again. A user may, once the cause is gone.
        logger.exception("a base model could not be made")
        failure = f"The work broke off ({type(error).__name__}: {error}). Register it again."
    with transaction() as session:
        base_models.finish_making(session, record.id, record.path, info=info, failure=failure)
    logger.info("base model made", extra={"base_model": record.id, "failure": failure})


def merge(record: BaseModelRecord) -> None:
    """Write the whole weights that a base is made from into its folder: those of a tuned model, or
    of another base with an adapter.

    Raises NotFound if the source is gone, Invalid or Unavailable if it can't be merged, and
    DiskFull.
    """
    with _written(record) as scratch:
        if "folded" in record.info:
            _fold(record, scratch)
        else:
            shutil.copytree(_whole_weights(record), scratch)
        _see_that_it_is_wanted(record)


def _whole_weights(record: BaseModelRecord) -> Path:
    checkpoint_id = record.info["merged_from"]["checkpoint"]
    with transaction() as session:
        checkpoint = session.get(Checkpoint, checkpoint_id)
    if checkpoint is None or checkpoint.deleted_at is not None:
        raise NotFound("The checkpoint was deleted before its weights were copied.", param="from")
    return weights.find(checkpoint, Format.MERGED)


def _fold(record: BaseModelRecord, out: Path) -> None:
    folded = record.info["folded"]
    with transaction() as session:
        base = session.get(BaseModelRecord, folded["model"])
    if base is None or base.deleted_at is not None:
        raise NotFound("The adapter's base was deleted before they were merged.", param="from")
    try:
        run_verb("fold", folded["adapter"], base.path, str(out), folded["sha256"], timeout_s=FOLD_S)
    except VerbError as failure:
        raise Invalid(f"The adapter could not be merged: {failure}", param="adapter") from None


@contextmanager
def _written(record: BaseModelRecord) -> Iterator[Path]:
    """A folder to write, which becomes the base's if nothing is raised."""
    target = Path(record.path)
    scratch = target.with_name(f"{target.name}.new")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        for old in (scratch, target):  # of an attempt that was killed
            shutil.rmtree(old, ignore_errors=True)
        yield scratch
        scratch.rename(target)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            "The disk that keeps base models is full: free some space there and register the "
            "model again.",
            param="from",
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
