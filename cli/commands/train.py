"""`oddsmith train`: tunes a base model on a preference file, without a server.

Knows the run directory, as the workers do; `python -m orpo.train` does the training itself.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from cli.commands.jobs import hyperparameter
from cli.commands.training import Training, intact, prepare
from cli.view import output
from cli.view.output import CommandError, ExitCode
from cli.view.progress import bar
from orpo.contract import rundir, wording
from orpo.contract.methods import METHODS, Method, parse_method
from orpo.contract.numbers import Series
from orpo.contract.on_policy import OnPolicy
from orpo.contract.rundir import HELD_OUT_ROWS, JUDGE, TRAIN_ROWS, Event, Split
from orpo.contract.spec import RunSpec, write_spec
from orpo.rows.formats import validate
from services.launchers.local import launch

# The series that are printed for a run that has finished: their names and decimal places.
TOLD: dict[str, tuple[str, int]] = {
    Series.ACCURACY: ("accuracy", 2),
    Series.LOG_ODDS_RATIO: ("log odds ratio", 3),
    Series.REWARD_MARGIN: ("reward margin", 3),
    Series.REWARD_MEAN: ("reward", 2),
    Series.KL: ("KL from the base", 2),
}

app = typer.Typer()


@output.command(app, "train")
def train(
    *,
    model: Annotated[Path, typer.Option(help="Folder of the base model (safetensors).")],
    data: Annotated[Path, typer.Option(help="Preference pairs: JSON, CSV or Parquet.")],
    out: Annotated[Path, typer.Option(help="Folder for the run; made if missing.")],
    held_out: Annotated[
        Path | None, typer.Option(help="Pairs to measure on [default: a share of --data].")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, as method.lambda=0.1; repeat for several."),
    ] = None,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "orpo",
    seed: Annotated[
        int, typer.Option(help="Seed for the order of pairs and the initial weights.")
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the last checkpoint in --out.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Tune a model on this machine, without a server. Ctrl-C saves first; --resume continues."""
    chosen = read_settings(method, settings or [])
    if chosen.nodes > 1:
        raise CommandError(
            f"nodes = {chosen.nodes} needs more machines; `oddsmith train` runs on this one. "
            "Leave nodes out, or create a run with `oddsmith jobs create`.",
            ExitCode.USAGE,
        )
    earlier = rundir.generations(out)
    if earlier and not resume:
        raise CommandError(
            f"{out} holds a run; add --resume, or name another folder.", ExitCode.USAGE
        )
    if not (model / "config.json").is_file():
        raise CommandError(f"{model} is not a model's folder: it has no config.json.")
    out.mkdir(parents=True, exist_ok=True)
    spec = RunSpec(
        job_id=out.absolute().name,
        generation=len(earlier) + 1,
        base_model=model.absolute().name,
        base_model_path=model.absolute(),
        train_path=accept(data, out.absolute() / TRAIN_ROWS),
        held_out_path=accept(held_out, out.absolute() / HELD_OUT_ROWS) if held_out else None,
        method=chosen,
        reward_path=reward_folder(chosen),
        seed=seed,
        resume_from=last_checkpoint(earlier),
    )
    prepare(
        write_spec(spec, rundir.generation(out.absolute(), spec.generation)).parent, quiet=as_json
    )
    training = follow(spec, out.absolute(), quiet=as_json)
    while smaller := training.smaller_budget:
        output.complain(f"Out of memory; again with {smaller:,} tokens in a forward pass.")
        earlier.append(training.run_dir)
        update = {
            "generation": spec.generation + 1,
            "method": spec.method.model_copy(update={"token_budget": smaller}),
            "resume_from": last_checkpoint(earlier),
        }
        spec = spec.model_copy(update=update)
        training = follow(spec, out.absolute(), quiet=as_json)
    result = summary(training)
    output.emit_or_say(result, as_json, sentence(result))


def reward_folder(method: Method) -> Path | None:
    """The checkpoint of the method's reward model: without a server, its name is its folder."""
    if not isinstance(method, OnPolicy):
        return None
    folder = Path(method.reward_model).absolute()
    if not (folder / JUDGE).is_file():
        raise CommandError(
            f"{method.reward_model} is no reward model: set reward_model to the folder of a "
            "checkpoint that `oddsmith train --method reward` has made.",
            ExitCode.USAGE,
        )
    return folder


def follow(spec: RunSpec, out: Path, quiet: bool) -> Training:
    """Launch a run in its generation's folder and return when it has ended."""
    run_dir = rundir.generation(out, spec.generation)
    write_spec(spec, run_dir)
    training = Training(run_dir, launch(run_dir, spec))
    training.follow(quiet)
    return training


def read_settings(kind: str, settings: list[str]) -> Method:
    """The method with its settings; `method.` before a name may be left out."""
    given = dict(map(hyperparameter, settings))
    try:
        return parse_method(kind, {k.removeprefix("method."): v for k, v in given.items()})
    except KeyError:
        known = ", ".join(METHODS)
        raise CommandError(f"--method is one of {known}, not {kind}.", ExitCode.USAGE) from None
    except ValidationError as error:
        found = [
            wording.sentence(".".join(map(str, problem["loc"])) or "--set", problem)
            for problem in error.errors()
        ]
        raise CommandError(" ".join(found), ExitCode.USAGE) from None


def accept(source: Path, target: Path) -> Path:
    """Validate a file and write its accepted rows; prints how many rows were left out."""
    try:
        size = source.stat().st_size
        with bar(f"Reading {source.name}") as show:
            report = validate(source, source.name, target, lambda _, done: show(done, size))
    except OSError as error:
        raise CommandError(f"{source} can't be read: {error.strerror}.") from None
    if not report.accepted:
        first = report.findings[0] if report.findings else None
        why = f" Line {first.line}: {first.message}" if first else " It is empty."
        raise CommandError(f"{source} has no row to train on.{why}")
    if report.dropped:
        reasons = ", ".join(f"{n} {reason}" for reason, n in report.dropped.items())
        output.complain(
            f"{source.name}: {report.accepted} of {report.rows} rows; left out: {reasons}."
        )
    if unused := [key for code, key in report.remarks if code == "unused_key"]:
        output.warn(f"{source.name}: these keys are not read: {', '.join(unused[:10])}.")
    return target


def last_checkpoint(generations: list[Path]) -> Path | None:
    """The newest intact checkpoint of any generation from which a run can be resumed."""
    folders = [folder for run_dir in generations for folder in rundir.checkpoints(run_dir)]
    folders.sort(key=rundir.step_of, reverse=True)
    return next((folder for folder in folders if intact(folder)), None)


def summary(training: Training) -> dict[str, Any]:
    """The JSON result of a run that has ended; raises CommandError if it failed."""
    end = training.end
    if end is None or end["type"] == Event.ERROR:
        message = (
            end["message"] if end else f"The training ended without a result. See {training.log}."
        )
        hint = f" {end['data']['hint']}" if end else ""
        raise CommandError(f"{message}{hint}", error=end["data"] if end else None)
    checkpoint = end["data"]["checkpoint"]
    return {
        "state": end["type"],
        "step": end["data"]["step"],
        "checkpoint": os.path.normpath(training.run_dir / checkpoint) if checkpoint else None,
        Split.HELD_OUT: {"first": training.first, "last": training.last},
    }


def sentence(result: dict[str, Any]) -> str:
    """The same result as a sentence."""
    if result["state"] == Event.STOPPED:
        return f"Stopped at step {result['step']}; --resume continues from there."
    lines = [f"Finished after {result['step']} steps: {result['checkpoint']}"]
    first, last = result[Split.HELD_OUT]["first"], result[Split.HELD_OUT]["last"]
    changes = [
        f"{title} {first[name]:.{digits}f} -> {last[name]:.{digits}f}"
        for name, (title, digits) in TOLD.items()
        if name in last
    ]
    if changes:
        lines.append(f"Held-out {', '.join(changes)}.")
    return "\n".join(lines)
