"""`oddsmith restore`: restore a backup into an empty stack."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.view import output
from cli.view.output import CommandError, Json

app = typer.Typer()


@output.command(app, "restore")
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `oddsmith backup` wrote.")],
    as_json: Json = False,
) -> None:
    """Restore a backup into a running, empty stack. Runs that were at work continue by themselves.

    The backup is verified first; a damaged one changes nothing.
    """
    # SQLAlchemy takes 0.3 s to import; `--help` must not wait for it.
    from cli.stack.attach import attached  # noqa: PLC0415
    from services.backup import restores  # noqa: PLC0415

    began = time.monotonic()
    with attached(), Console(stderr=True).status("Restoring"):
        try:
            restored = restores.restore(folder.absolute())
        except OSError as error:
            raise CommandError(f"The backup could not be restored: {error}.") from None
    seconds = time.monotonic() - began
    tables = restored.contents.tables
    if as_json:
        output.emit(
            {
                "tables": tables,
                "resumed": restored.resumed,
                "bases_missing": restored.bases_missing,
                "seconds": round(seconds, 2),
            }
        )
        return
    counts = ", ".join(f"{tables[name]} {name}" for name in ("jobs", "files", "checkpoints"))
    output.say(f"Restored {counts} of {restored.contents.made_at} in {seconds:.1f} s.")
    for job in restored.resumed:
        output.say(f"{job} ran when the backup was made; it continues from its last checkpoint.")
    for name, path in restored.bases_missing.items():
        output.say(f"The base model {name} is not here: put its folder at {path}.")
