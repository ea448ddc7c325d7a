"""`oddsmith down`: stop the stack that runs on the folder."""

import typer
from rich.console import Console

from cli.stack import stack
from cli.stack.folder import Folder
from cli.view import output

app = typer.Typer()


@output.command(app, "down")
def down() -> None:
    """Stop a stack, however it was started. A running training saves a checkpoint first."""
    folder = Folder()
    with Console(stderr=True).status("Stopping (at most 60 s while a training saves)"):
        stopped = stack.stop(folder)
    output.say("Stopped." if stopped else f"No stack runs on {folder.path}.")
