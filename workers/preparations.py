"""A job's state `validating_files`: its rows are copied to local disk, split, and tokenised.

Everything that can be wrong with the data is found here, before a device is used. The step may run
twice: it writes the same bytes, and changes the job's state only while the job is validated.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import File, Job
from models.jobs import JobState
from orpo.contract.failures import Code
from orpo.contract.held_out import draw, hold_out
from orpo.contract.rundir import HELD_OUT_ROWS, TRAIN_ROWS, Level
from orpo.contract.spec import VERSION, write_spec
from services.files import files, overlaps
from services.jobs import preparations
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.platform.storable import storable
from services.processes import prepared
from services.processes.verbs import VerbError, run_verb, time_for, tokenised
from services.runs import job_events
from workers.spec import spec_of

logger = logging.getLogger(__name__)

# The shortest timeout of tokenising.
PREPARE_S = 600
# The same of the search for held-out prompts among those that are trained on.
OVERLAP_S, SLOWEST_BYTES_A_S = 120, 2e6
LINES = 10
LOOK_EVERY_S = 0.5


class NoLongerWantedError(Exception):
    """The job was cancelled, or another worker has prepared it."""


def prepare(job_id: str) -> None:
    """Prepare the job's data and queue it, or fail it with the sentence that says why.

    Ends early, and so does its process, once the job is no longer to be prepared.
    """
    with suppress(NoLongerWantedError):
        _prepare(job_id)


def _prepare(job_id: str) -> None:
    with transaction() as session:
        job = session.get(Job, job_id)
        if job is None or job.state != JobState.VALIDATING_FILES:
            return
        if job.spec_version > VERSION:
            logger.warning("a newer release created this job: it waits for a worker of that one")
            return
        spec = spec_of(session, job)
        training = session.get_one(File, job.training_file)
        validation = session.get(File, job.validation_file) if job.validation_file else None
    folder = spec.train_path.parent
    watch = Watch(job_id, folder)
    write_rows(folder, training, validation, spec.method, spec.seed, watch.look_when_due)
    write_spec(spec, folder)
    try:
        patience_s = time_for(folder, PREPARE_S)
        found = run_verb("prepare", str(folder), timeout_s=patience_s, meanwhile=watch.look)
        if validation:
            found["overlap"] = overlap(folder, watch.look_when_due)
        error = None
    except VerbError as failure:
        if failure.is_fleeting:
            raise  # not the data's fault: an attempt is charged, and the keeper tries again
        found, error = None, failure.error
    with transaction() as session:
        _move_on(session, job_id, found, error)


class Watch:
    """Checks, while a job's data is prepared, that it is still wanted and makes progress."""

    def __init__(self, job_id: str, folder: Path) -> None:
        self.job_id, self.folder = job_id, folder
        self.progress: dict[str, int] | None = None
        self.looked_at = self.moved_at = time.monotonic()

    def look_when_due(self) -> None:
        """Look twice a second while rows are copied; copying counts as progress."""
        if time.monotonic() - self.looked_at > LOOK_EVERY_S:
            self.moved_at = time.monotonic()
            self.look()

    def look(self) -> None:
        """Copy the core's progress into the job's.

        Raises NoLongerWantedError, or VerbError if the core has made no progress for too long: a
        chat template may loop forever.
        """
        self.looked_at = time.monotonic()
        self._enforce_progress(tokenised(self.folder))
        # A failure to store the progress must not end the preparation.
        with suppress(OperationalError), transaction() as session:
            job = preparations.awaited(session, self.job_id)
            if job is None:
                raise NoLongerWantedError
            if self.progress is not None:
                job.progress = (job.progress or {}) | {"preparing": self.progress}

    def _enforce_progress(self, progress: dict[str, int] | None) -> None:
        if progress != self.progress:
            self.progress, self.moved_at = progress, self.looked_at
        silent_s = self.looked_at - self.moved_at
        if silent_s > get_settings().prepare_stall_s:
            message = f"Tokenising stood still for {silent_s:.0f} s and was ended."
            raise VerbError({"code": Code.TIMEOUT, "message": message})


def write_rows(
    folder: Path,
    training: File,
    validation: File | None,
    method: Any,
    seed: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Write the rows to train on and those that are held out.

    Rows are drawn from the validation file, or from the training file, which then lacks them.
    `meanwhile` is called for each row that is copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if validation:
        accepted = (validation.report or {})["accepted"]
        held_out = draw(accepted, method.max_held_out, seed)
    else:
        with files.open_rows(training) as lines:
            prompts = (orjson.loads(line)["prompt"] for line in lines)
            held_out = hold_out(prompts, method.held_out_fraction, method.max_held_out, seed)
    _copy(validation or training, folder / HELD_OUT_ROWS, held_out.__contains__, meanwhile)
    left_out = set[int]() if validation else held_out
    _copy(training, folder / TRAIN_ROWS, lambda place: place not in left_out, meanwhile)


def overlap(folder: Path, meanwhile: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
    """How many held-out rows have the prompt of a row that is trained on: the `same` one or a
    `near` one, of how many `rows`, with the first `lines` of the validation file.

    None if the comparison failed: a job can be run without it.
    """
    held_out, train = folder / HELD_OUT_ROWS, folder / TRAIN_ROWS
    timeout_s = OVERLAP_S + train.stat().st_size / SLOWEST_BYTES_A_S
    try:
        with TemporaryDirectory() as inside:
            found = overlaps.run(
                Path(inside), held_out, [{"rows": str(train)}],
                timeout_s=timeout_s, meanwhile=meanwhile,
            )  # fmt: skip
    except VerbError as failure:
        logger.warning("held-out prompts could not be compared: %s", failure)
        return None
    same, near = found["same"], found["near"]
    lines = sorted({*same["lines"], *near["lines"]})[:LINES]
    return {"rows": found["rows"], "same": same["rows"], "near": near["rows"], "lines": lines}


def _copy(file: File, to: Path, keep: Callable[[int], bool], meanwhile: Callable[[], None]) -> None:
    """Copy the rows of `file` whose places are to `keep`."""
    temporary = to.with_suffix(".tmp")
    with files.open_rows(file) as source, temporary.open("wb") as target:
        for place, line in enumerate(source):
            meanwhile()
            if keep(place):
                target.write(line)
    temporary.replace(to)


def _move_on(
    session: Session, job_id: str, found: dict[str, Any] | None, error: dict[str, Any] | None
) -> None:
    job = preparations.awaited(session, job_id)
    if job is None:
        return
    if error is not None or found is None:
        preparations.fail(session, job, error or {})
        return
    stored = storable(found)
    job_events.note(session, job, _summary(stored), {"kind": "prepared", **stored})
    if words := _overlap(job, stored.get("overlap")):
        job_events.note(session, job, words, {"kind": "overlap"}, Level.WARN)
    preparations.succeed(session, job, stored)


def _summary(found: dict[str, Any]) -> str:
    train, held_out = found["train"], prepared.dropped(found.get("held_out", {"dropped": {}}))
    text = f"{train['pairs']} pairs, {train['tokens']} tokens an epoch, {found['steps']} steps"
    text += f"; {prepared.dropped(train) or 'none dropped'}."
    if stripped := train.get("reasoning_stripped"):
        text += f" {stripped} pairs are trained without the thoughts of their answers."
    if forgetful := train.get("history_thoughts_dropped"):
        text += f" The chat template leaves out earlier thoughts of {forgetful} pairs."
    return f"{text} Of the held-out pairs, {held_out}." if held_out else text


def _overlap(job: Job, found: dict[str, Any] | None) -> str:
    """What to say of held-out rows whose prompts are trained on; "" if there are none."""
    if not found or not (found["same"] or found["near"]):
        return ""
    lines = ", ".join(map(str, found["lines"]))
    return (
        f"Prompts of held-out rows that are also trained on: {found['same']} of {found['rows']}; "
        f"nearly the same: {found['near']} (lines {lines} of the validation file). The held-out "
        f"figures are too good. See: oddsmith files overlap {job.validation_file} "
        f"--against {job.training_file}"
    )


def charge(job_id: str, reason: str) -> None:
    """Count an unexpected failure of a job's preparation, if the job still waits for it."""
    with transaction() as session:
        job = preparations.awaited(session, job_id)
        if job is not None:
            preparations.lose(session, job, reason)
