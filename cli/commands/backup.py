"""`oddsmith backup`: write a whole stack into one folder, while it runs."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.view import output
from cli.view.output import CommandError, Json

app = typer.Typer()


@output.command(app, "backup")
def backup(
    folder: Annotated[Path, typer.Argument(help="The folder to write. It must not exist yet.")],
    as_json: Json = False,
) -> None:
    """Back up the database, uploads, and run directories with their checkpoints.

    The stack keeps running meanwhile. Base models and passwords are not copied.
    """
    # SQLAlchemy takes 0.3 s to import; `--help` must not wait for it.
    from cli.stack.attach import attached  # noqa: PLC0415
    from services.backup import backups  # noqa: PLC0415

    began = time.monotonic()
    with attached(), Console(stderr=True).status("Backing up"):
        try:
            contents = backups.make(folder.absolute())
        except OSError as error:
            raise CommandError(f"The backup could not be written: {error}.") from None
    seconds = time.monotonic() - began
    if as_json:
        facts = asdict(contents)
        output.emit({**facts, "files": len(contents.files), "seconds": round(seconds, 2)})
        return
    for lost in contents.left_out:
        output.say(f"Left out: {lost['kind']} {lost['id']}. {lost['why']}")
    counts = ", ".join(
        f"{contents.tables[name]} {name}" for name in ("jobs", "files", "checkpoints")
    )
    output.say(
        f"Backed up {counts} ({output.size(contents.size_bytes)}) in {seconds:.1f} s to {folder}"
    )
