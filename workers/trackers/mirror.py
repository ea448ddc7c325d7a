"""One pass of a mirror: `python -m workers.trackers.mirror JOB PLACE`.

A process of its own, because a tracker's package may hang, and brings threads and handlers. The
worker ends it after a while, and so does its own alarm if the worker has gone.
"""

import json
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from models import Job, Mirror, Sample
from services.access.callers import OPERATOR
from services.jobs import integrations
from services.jobs.states import ENDED
from services.platform.database import transaction
from services.platform.settings import get_settings
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


def mirror(job_id: str, place: int) -> None:
    """Copy what is new. Raises whatever the tracker raises."""
    with transaction() as session:
        record = session.get(Mirror, (job_id, place))
        job = session.get(Job, job_id)
        if record is None or job is None:
            return
    run = run_of(job, record)
    if record.type == integrations.Tracker.WANDB and not _continues(run):
        if not run.has_ended:
            _pause(record, more=False)
            return
        record.position = {}
    _copy(record, run, job.state if run.has_ended else None)


def _continues(run: Run) -> bool:
    """Whether a run of W&B can be continued by a later pass."""
    return _class(integrations.Tracker.WANDB).is_online(run.is_operators)


def _class(kind: str) -> Any:
    return import_module(f"workers.trackers.{CLASSES[integrations.Tracker(kind)][0]}")


def run_of(job: Job, record: Mirror) -> Run:
    facts = {name: value for name, value in job.method.items() if name != "type"}
    facts |= {"method": job.method["type"], "model": job.base_model, "seed": job.seed}
    facts |= {"training_file": job.training_file, "job": job.id, **(job.metadata_ or {})}
    return Run(
        job_id=job.id,
        run_id=record.run_id,
        settings=record.settings,
        facts=facts,
        folder=get_settings().trackers_dir / job.id / str(record.place),
        is_operators=job.org_id == OPERATOR,
        has_ended=job.state in ENDED,
    )


def _copy(record: Mirror, run: Run, state: str | None) -> None:
    kind = CLASSES[integrations.Tracker(record.type)]
    tracker: Tracker = getattr(_class(record.type), kind[1])()
    run_id, position = tracker.begin(run), record.position
    for batch in _batches(run.job_id, position, None if _must_be_whole(record, run) else BATCHES):
        tracker.steps(list(map(_step, batch.steps)))
        tracker.samples(list(map(_sample, batch.samples)))
        tracker.flush()
        position = batch.position
        with transaction() as session:
            mirrors.advance(session, run.job_id, record.place, position, run_id)
    with transaction() as session:
        more = bool(mirrors.after(session, run.job_id, position))
    tracker.end(None if more else state)
    if more or state is None:
        _pause(record, more=more)
        return
    with transaction() as session:
        mirrors.finish(session, run.job_id, record.place)


def _must_be_whole(record: Mirror, run: Run) -> bool:
    return record.type == integrations.Tracker.WANDB and not _continues(run)


def _batches(job_id: str, position: dict[str, Any], most: int | None) -> Iterator[Batch]:
    while most is None or most > 0:
        with transaction() as session:
            batch = mirrors.after(session, job_id, position)
        if not batch:
            return
        yield batch
        position = batch.position
        most = most and most - 1


def _pause(record: Mirror, *, more: bool) -> None:
    with transaction() as session:
        mirrors.pause(session, record.job_id, record.place, more=more)


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
    try:
        mirror(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # noqa: BLE001 - a tracker may raise anything
        said = " ".join(f"{type(error).__name__}: {error}".split())
        sys.stderr.write(f"\n{REASON}{_without_secrets(said)}\n")
        sys.exit(1)


def _without_secrets(text: str) -> str:
    """An error may quote the address of a server, which may hold a password, or a key."""
    settings = get_settings()
    for secret in (settings.mlflow_uri, settings.wandb_api_key.get_secret_value()):
        text = text.replace(secret, "...") if secret else text
    return text


if __name__ == "__main__":
    main()
