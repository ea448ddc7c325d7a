"""One pass of a mirror: `python -m workers.trackers.mirror JOB PLACE`.

A process of its own, because a tracker's package may hang, and brings threads and handlers. The
worker ends it after a while, and so does its own alarm if the worker has gone.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from models import Job, Mirror, Sample
from services.access.callers import OPERATOR
from services.jobs import integrations
from services.jobs.states import ENDED
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.processes.guard import NICENESS
from services.runs import mirrors
from services.runs.mirrors import TIMEOUT_S, Batch
from workers.trackers.tracker import Run, SampledAnswer, Step, Tracker

CLASSES = {
    integrations.Tracker.WANDB: ("wandb", "WeightsAndBiases"),
    integrations.Tracker.MLFLOW: ("mlflow", "MLflow"),
    integrations.Tracker.TENSORBOARD: ("tensorboard", "TensorBoard"),
}
BATCHES = 20
REASON = "reason: "
# The packages report their use and their errors to their makers unless they are told not to.
ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    # A server that does not answer ends the pass; the mirror itself tries again.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


def mirror(job_id: str, place: int) -> None:
    """Copy what is new. Raises whatever the tracker raises."""
    with transaction() as session:
        record = session.get(Mirror, (job_id, place))
        job = session.get(Job, job_id)
        if record is None or job is None:
            return
    run = run_of(job, record)
    if run.is_whole:
        record.position = {}
    _copy(record, run, job.state if job.state in ENDED else None)
    with transaction() as session:
        job = session.get(Job, job_id)
        is_deleted = job is None or job.deleted_at is not None
    if is_deleted:  # what was removed meanwhile is there again
        shutil.rmtree(run.folder, ignore_errors=True)


def run_of(job: Job, record: Mirror) -> Run:
    facts = {name: value for name, value in job.method.items() if name != "type"}
    facts |= {"method": job.method["type"], "model": job.base_model, "seed": job.seed}
    facts |= {"training_file": job.training_file, "job": job.id}
    # A prefix, because the user chooses these names.
    facts |= {f"metadata.{name}": value for name, value in (job.metadata_ or {}).items()}
    return Run(
        key=f"{job.id}-{record.place}" if record.place else job.id,
        run_id=record.run_id,
        settings=record.settings,
        facts=facts,
        folder=get_settings().trackers_dir / job.id / str(record.place),
        kept_bytes=record.position.get("bytes", 0),
        is_operators=job.org_id == OPERATOR,
        is_whole=mirrors.is_whole(record, job),
    )


def _copy(record: Mirror, run: Run, state: str | None) -> None:
    module, name = CLASSES[integrations.Tracker(record.type)]
    tracker: Tracker = getattr(import_module(f"workers.trackers.{module}"), name)()
    run_id, position = tracker.begin(run), record.position
    for batch in _batches(record.job_id, position, None if run.is_whole else BATCHES):
        tracker.steps(list(map(_step, batch.steps)))
        tracker.samples(list(map(_sample, batch.samples)))
        size_bytes = tracker.flush()
        position = batch.position | ({"bytes": size_bytes} if size_bytes else {})
        with transaction() as session:
            mirrors.advance(session, record.job_id, record.place, position, run_id)
    with transaction() as session:
        more = mirrors.has_more(session, record.job_id, position)
    tracker.end(None if more else state)
    with transaction() as session:
        if more or state is None:
            mirrors.pause(session, record.job_id, record.place, more=more)
        else:
            mirrors.finish(session, record.job_id, record.place)


def _batches(job_id: str, position: dict[str, Any], most: int | None) -> Iterator[Batch]:
    """Yield what follows a position, in at most so many batches."""
    for _ in count() if most is None else range(most):
        with transaction() as session:
            batch = mirrors.after(session, job_id, position)
        if not batch:
            return
        yield batch
        position = batch.position


def _step(each: dict[str, Any]) -> Step:
    """Numbers that are not finite are left out: no tracker takes them all."""
    values = {
        f"{each['split']}/{name}": value
        for name, value in each["values"].items()
        if value is not None
    }
    return Step(each["step"], values, each["t"])


def _sample(sample: Sample) -> SampledAnswer:
    prompt = "\n".join(_text(message) for message in sample.prompt)
    return SampledAnswer(sample.step, sample.line, prompt, sample.answer)


def _text(message: Any) -> str:
    if isinstance(message, dict) and isinstance(message.get("content"), str):
        return f"{message.get('role')}: {message['content']}"
    return json.dumps(message, ensure_ascii=False)


def main() -> None:
    """Do the pass; on a failure, write its reason as the line that begins with REASON."""
    signal.alarm(TIMEOUT_S + 5)
    # Trainings and evaluations of this machine go first.
    os.nice(NICENESS)
    os.environ.update(ENVIRONMENT)
    # tensorboardX imports torch if it finds it, which takes a second of a core.
    sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    try:
        mirror(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # noqa: BLE001 - a tracker may raise anything
        said = " ".join(f"{type(error).__name__}: {error}".split())
        sys.stderr.write(f"\n{REASON}{_without_secrets(said)}\n")
        sys.exit(1)


def _without_secrets(text: str) -> str:
    """An error may quote the address of a server, which may hold a password, or a key."""
    settings = get_settings()
    uri = settings.mlflow_uri or ""
    secrets = (uri, urlsplit(uri).password, settings.wandb_api_key.get_secret_value())
    for secret in filter(None, secrets):
        text = text.replace(secret, "...")
    return text


if __name__ == "__main__":
    main()
