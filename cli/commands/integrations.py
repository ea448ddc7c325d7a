"""Trackers of experiments: the option of `oddsmith jobs create`, and the lines of `jobs show`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli.view.output import CommandError, ExitCode

Mirrors = Annotated[
    list[str] | None,
    typer.Option(
        help="Mirror the numbers to wandb:PROJECT, mlflow, mlflow:EXPERIMENT or tensorboard; "
        "repeat for several."
    ),
]


def integration(text: str) -> dict[str, Any]:
    """Return what the API takes for `wandb:PROJECT` and the like."""
    kind, _, name = text.partition(":")
    match kind, name:
        case "wandb", str(project) if project:
            return {"type": "wandb", "wandb": {"project": project}}
        case "mlflow", experiment:
            return {"type": "mlflow", "mlflow": {"experiment": experiment} if experiment else {}}
        case "tensorboard", "":
            return {"type": "tensorboard"}
    raise CommandError(
        f"--mirror is wandb:PROJECT, mlflow, mlflow:EXPERIMENT or tensorboard, not '{text}'.",
        ExitCode.USAGE,
    )


def lines(job: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield how far each mirror is."""
    for each in job.get("integrations") or ():
        step = "" if each["step"] is None else f", to step {each['step']}"
        error = f". {each['error']}" if each["error"] else ""
        yield f"mirror: {each['type']}", f"{each['status']}{step}{error}"
