"""`oddsmith up`: start the stack here, in the foreground or detached."""

import sys
from typing import Annotated

import typer

from cli.stack import stack
from cli.stack.console import Terminal
from cli.stack.folder import Folder
from cli.stack.ports import LOOPBACK
from cli.view import output

app = typer.Typer()


@output.command(app, "up")
def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other machines can reach all but loopback.")
    ] = LOOPBACK,
    port: Annotated[
        int | None, typer.Option(help="The API's port [default: 8000, or a free one].")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once it answers; `oddsmith down` stops it.")
    ] = False,
) -> None:
    """Start PostgreSQL, Redis, the API, the workers and the keeper on this machine.

    All data is written to ./var, or to ODDSMITH_VAR. If ODDSMITH_DATABASE_URL or ODDSMITH_REDIS_URL
    is set, that server is used and none is started.
    """
    folder = Folder()
    options = stack.Options(host, port)
    if detach:
        running = stack.detach(folder, options, show)
        output.say(f"Runs at {running.url} (process {running.pid}); `oddsmith down` stops it.")
    else:
        stack.run(folder, options, Terminal())


def show(lines: str) -> None:
    sys.stdout.write(lines)
    sys.stdout.flush()
