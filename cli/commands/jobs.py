"""`oddsmith jobs`: create, steer, name and watch runs, which the API calls fine-tuning jobs.

Only the API knows the hyperparameters: `--set` passes names and values through.
"""

import json
from typing import Annotated, Any

import typer

from cli.client.http import Client, connect, segment, wait_until
from cli.client.operations import in_commands, reason
from cli.commands import gates, integrations, labels, uploads, watch
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json
from cli.view.progress import bar
from orpo.contract.numbers import Series

app = output.noun("Create, steer, name and watch runs: fine-tuning jobs.")

JobId = Annotated[str, typer.Argument(help="The run's id, ftjob-…", metavar="ID")]

JOBS = "/v1/fine_tuning/jobs"
ESTIMATES = f"{JOBS}/estimate"
TIMES = ("load", "train", "evaluate")
MEMORY = ("runtime", "weights", "gradients", "optimizer", "activations", "head")

# The exit code of `watch` for each last status of the job.
ENDS = {
    "succeeded": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "cancelled": ExitCode.CANCELLED,
}


Model = Annotated[str, typer.Option(help="Base model; see: oddsmith models list")]
Pairs = Annotated[str, typer.Option(help="Training pairs: a file's id, or a path to upload.")]
HeldOut = Annotated[
    str | None, typer.Option(help="Held-out pairs: an id or a path. By default a tenth.")
]
Kind = Annotated[
    str,
    typer.Option(help="orpo, supervised, dpo, simpo, probability_ratio, reward, ppo or rloo."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A hyperparameter, as lambda=0.2; repeat for several."),
]


@output.command(app, "create")
def create(
    *,
    model: Model,
    file: Pairs,
    held_out: HeldOut = None,
    method: Kind = "orpo",
    settings: Settings = None,
    suffix: Annotated[
        str | None, typer.Option(help="The run's first name; part of the tuned model's name.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.")] = None,
    gate: gates.Gates = None,
    mirror: integrations.Mirrors = None,
    as_json: Json = False,
) -> None:
    """Create a run. A path is uploaded, once the rest of the run was checked."""
    body = _settings(model, method, settings) | {"suffix": suffix, "seed": seed}
    if gate:
        body["gates"] = list(map(gates.gate, gate))
    if mirror:
        body["integrations"] = list(map(integrations.integration, mirror))
    client = connect()
    job = client.post(JOBS, _with_files(client, body, file, held_out, as_json))
    if as_json:
        output.emit(job)
    else:
        output.say(f"{job['id']}  {job['status']}")
        output.say(f"Follow it: oddsmith jobs watch {job['id']}")


@output.command(app, "estimate")
def estimate(
    *,
    model: Model,
    file: Pairs,
    held_out: HeldOut = None,
    method: Kind = "orpo",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Measure what a run would take: time, memory, tokens. Creates no run."""
    body = _settings(model, method, settings)
    client = connect()
    found = client.post(ESTIMATES, _with_files(client, body, file, held_out, as_json))
    path = f"{ESTIMATES}/{segment(found['id'])}"
    try:
        with bar("Measuring three steps", quiet=as_json):
            found = wait_until(client, path, lambda e: e["status"] in ENDS)
    except KeyboardInterrupt:
        client.post(f"{path}/cancel")
        raise
    if found["status"] != "succeeded":
        why = reason(found["error"])
        raise CommandError(f"The estimate {found['status']}. {why}".rstrip(), error=found["error"])
    if as_json:
        output.emit(found)
    else:
        output.details(_estimated(found["estimate"]))


def _estimated(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """The lines of an estimate: each sum before its parts."""
    time, memory, device = found["time"], found["memory"], found["device"]
    held_out = f", {found['held_out_pairs']:,} held out" if found["held_out_pairs"] else ""
    processes = f", in each of {found['processes']} processes" if found["processes"] > 1 else ""
    return [
        ("device", f"{device['name']}, {output.size(device['memory_bytes'])}"),
        ("pairs", f"{found['pairs']:,}{held_out}"),
        ("steps", f"{found['steps']:,}"),
        ("tokens", f"{found['tokens']:,} at {found['tokens_per_s']:,.0f} a second"),
        ("token budget", f"{found['token_budget']:,} in a forward pass"),
        ("trained", f"{found['trainable_parameters']:,} of {found['parameters']:,} weights"),
        ("time", output.duration(time["total_s"])),
        *((f"  {part}", output.duration(time[f"{part}_s"])) for part in TIMES),
        ("memory", f"{output.size(memory['peak_bytes'])} at its peak{processes}"),
        *((f"  {part}", output.size(memory[f"{part}_bytes"])) for part in MEMORY),
    ]


@output.command(app, "list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    file: Annotated[
        str | None, typer.Option(metavar="ID", help="Only runs that name this file.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="Only runs with this tag; repeat for several."),
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Only archived runs.")] = False,
    as_json: Json = False,
) -> None:
    """List the runs, newest first. Archived ones are left out."""
    shown = {"file": file, "tag": tag or None, "archived": "true" if archived else None}
    jobs = connect().items(JOBS, limit, **shown)
    if as_json:
        output.emit(jobs)
        return
    output.table(
        ["name", "id", "status", "progress", "accuracy", "tags", "model", "created", "tuned model"],
        [
            [
                labels.name(job),
                job["id"],
                output.status(job["status"]),
                _progress(job),
                _accuracy(job),
                ", ".join(job.get("tags") or ()),
                job["model"],
                output.when(job["created_at"]),
                job.get("fine_tuned_model"),
            ]
            for job in jobs
        ],
        "No run has all that was asked for."
        if file or tag or archived
        else "There are no runs yet. Create one with: oddsmith jobs create --model M --file PATH",
    )


@output.command(app, "show")
def show(job_id: JobId, as_json: Json = False) -> None:
    """Show one run."""
    job = connect().get(_path(job_id))
    if as_json:
        output.emit(job)
        return
    method = job.get("method") or {}
    given = (method.get(method.get("type")) or {}).get("hyperparameters") or {}
    output.details(
        [
            ("name", labels.name(job)),
            ("id", job["id"]),
            *labels.lines(job),
            ("status", output.status(job["status"])),
            ("error", reason(job.get("error")) or None),
            ("progress", _progress(job) or None),
            ("queue", _place(job)),
            ("waiting", (job.get("waits_for") or {}).get("message")),
            ("runs on", _cluster(job)),
            ("last attempt", _retry(job)),
            ("model", job["model"]),
            ("tuned model", job.get("fine_tuned_model")),
            *gates.lines(job),
            *integrations.lines(job),
            ("result files", ", ".join(job.get("result_files") or ()) or None),
            ("training file", job["training_file"]),
            ("held-out pairs", job.get("validation_file")),
            ("method", method.get("type")),
            *((f"  {name}", value) for name, value in given.items()),
            ("seed", job.get("seed")),
            ("trained tokens", job.get("trained_tokens")),
            ("created", output.when(job["created_at"])),
            ("finished", output.when(job.get("finished_at")) or None),
        ]
    )


@output.command(app, "watch")
def watch_job(job_id: JobId, as_json: Json = False) -> None:
    """Follow a run until it ends: state, progress, log-probs of chosen and rejected.

    Exits with 0 if the run succeeded, 1 if it failed, 6 if it was cancelled. With --json every
    line is one event of the run's stream.
    """
    job = watch.watch(job_id, as_json)
    if job.status not in ENDS:
        raise CommandError(f"The stream of {job_id} ended while it was {job.status}.")
    raise typer.Exit(ENDS[job.status])


@output.command(app, "events")
def events(job_id: JobId, as_json: Json = False) -> None:
    """List what happened to a run, oldest first."""
    found = connect().items(f"{_path(job_id)}/events", type="message")[::-1]
    if as_json:
        output.emit(found)
        return
    rows = [[output.when(e["created_at"]), e["level"], in_commands(e["message"])] for e in found]
    output.table(["time", "level", "event"], rows, "Nothing has happened yet.")


@output.command(app, "checkpoints")
def checkpoints(job_id: JobId, as_json: Json = False) -> None:
    """List a run's committed checkpoints, newest first."""
    found = connect().items(f"{_path(job_id)}/checkpoints")
    if as_json:
        output.emit(found)
        return
    rows = [
        [
            c["step_number"],
            watch.number(Series.ACCURACY, (c.get("metrics") or {}).get(Series.ACCURACY)),
            output.when(c["created_at"]),
            c["fine_tuned_model_checkpoint"],
        ]
        for c in found
    ]
    output.table(["step", "accuracy", "created", "model"], rows, "There are no checkpoints yet.")


@output.command(app, "edit")
def edit(
    job_id: JobId,
    name: labels.NewName = None,
    tag: labels.Add = None,
    untag: labels.Remove = None,
    notes: labels.Notes = None,
    archive: labels.Archive = None,
    as_json: Json = False,
) -> None:
    """Rename a run, tag it, note something about it, or archive it.

    Its model, its files and its checkpoints keep their names; an archived run can still be opened.
    """
    client, path = connect(), _path(job_id)
    asked = {"name": name, "add": tag, "remove": untag, "notes": notes, "archived": archive}
    job = client.post(path, labels.changes(client, path, **asked), nulls=True)
    if as_json:
        output.emit(job)
    else:
        output.details([("name", labels.name(job)), ("id", job["id"]), *labels.lines(job)])


@output.command(app, "cancel")
def cancel(job_id: JobId, as_json: Json = False) -> None:
    """Stop a run for good; its checkpoints stay."""
    _steer(job_id, "cancel", as_json)


@output.command(app, "pause")
def pause(job_id: JobId, as_json: Json = False) -> None:
    """Stop a run at its next step, with a checkpoint from which it resumes."""
    _steer(job_id, "pause", as_json)


@output.command(app, "resume")
def resume(job_id: JobId, as_json: Json = False) -> None:
    """Put a paused run back in the queue."""
    _steer(job_id, "resume", as_json)


@output.command(app, "delete")
def delete(job_id: JobId, as_json: Json = False) -> None:
    """Delete a run that has ended, with its checkpoints and all that it left on disk."""
    deleted = connect().delete(_path(job_id))
    output.emit_or_say(deleted, as_json, f"Deleted {job_id}.")


def _settings(model: str, method: str, settings: list[str] | None) -> dict[str, Any]:
    hyperparameters = dict(map(hyperparameter, settings or []))
    return {
        "model": model,
        "method": {"type": method, method: {"hyperparameters": hyperparameters}},
    }


def _with_files(
    client: Client, body: dict[str, Any], file: str, held_out: str | None, quiet: bool
) -> dict[str, Any]:
    files = {"training_file": file, "validation_file": held_out}
    return uploads.with_files(client, body, files, f"{JOBS}/check", quiet)


def _steer(job_id: str, verb: str, as_json: bool) -> None:
    job = connect().post(f"{_path(job_id)}/{verb}")
    output.emit_or_say(job, as_json, f"{job['id']}  {job['status']}  ({verb} requested)")


def _path(job_id: str) -> str:
    return f"{JOBS}/{segment(job_id)}"


def _progress(job: dict[str, Any]) -> str:
    progress = job.get("progress") or {}
    if preparing := progress.get("preparing"):
        return f"{preparing['tokenised']}/{preparing['pairs']} pairs tokenised"
    return f"{progress['step']}/{progress['steps']}" if progress.get("steps") else ""


def _accuracy(job: dict[str, Any]) -> str:
    """The accuracy on held-out pairs, at first and at last; empty before it was measured."""
    outcome = job.get("outcome")
    if not outcome:
        return ""
    ends = [outcome[when]["accuracy"] for when in ("before", "after")]
    return " → ".join(watch.number(Series.ACCURACY, end) for end in ends)


def _place(job: dict[str, Any]) -> str | None:
    place = job.get("queue")
    if not place:
        return None
    starts = f", starts about {output.when(place['starts_at'])}" if place["starts_at"] else ""
    return f"number {place['position']}{starts}"


def _cluster(job: dict[str, Any]) -> str | None:
    """The cluster that has the run, and its name there."""
    place = job.get("runs_on")
    return f"{place['launcher']} as {place['name']}" if place else None


def _retry(job: dict[str, Any]) -> str | None:
    """Why the previous attempt ended; None once a new step was trained."""
    retry = (job.get("progress") or {}).get("retry")
    if retry is None:
        return None
    why, last = in_commands(retry["reason"]), retry["max_attempts"]
    return f"{why} Attempt {retry['attempt']} of {last} follows."


def hyperparameter(setting: str) -> tuple[str, Any]:
    """Read `name=value`; a value is JSON if it parses (0.2, true, null), otherwise text."""
    name, equals, value = setting.partition("=")
    if not equals or not name:
        raise CommandError(f"--set takes name=value, not {setting!r}.", ExitCode.USAGE)
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value
