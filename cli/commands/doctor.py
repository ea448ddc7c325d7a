"""`oddsmith doctor`: what protects this installation, what does not, and how to get it.

Looks at this machine, at the settings and at the stack that runs on the folder; changes nothing.
The checks are in `services/upkeep/doctor.py`, which `GET /v1/doctor` uses, too.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict

import psutil
import typer

from cli.stack.folder import Folder
from cli.view import output
from cli.view.output import CommandError, Json
from services.upkeep.doctor import Finding, of_machine, of_stack

app = typer.Typer()

COLUMNS = 80
NAMED = 12  # columns for a mark and a name
MARKS = {True: "ok", False: "NO", None: "--"}


@output.command(app, "doctor")
def doctor(as_json: Json = False) -> None:
    """Print what protects this installation. Status 1 if a required protection is missing."""
    found = [*findings(Folder())]
    if as_json:
        output.emit([asdict(finding) for finding in found])
    else:
        print("\n".join(line for finding in found for line in lines(finding)))
    failed = [finding.name for finding in found if finding.ok is False]
    if failed and not as_json:
        raise CommandError(f"Not in force: {', '.join(failed)}.")
    if failed:
        raise typer.Exit(output.ExitCode.FAILED)


def lines(finding: Finding) -> Iterator[str]:
    """A finding in 80 columns, followed by what to do."""
    text = f"{finding.what} {finding.remedy}" if finding.ok is not True else finding.what
    head = f"{MARKS[finding.ok]}  {finding.name}".ljust(NAMED + 2)
    yield from textwrap.wrap(
        text.strip(), COLUMNS, initial_indent=head, subsequent_indent=" " * len(head)
    )


def findings(folder: Folder) -> Iterator[Finding]:
    """The report, line by line."""
    yield from of_machine(folder.path)
    yield from of_stack(_tree(folder))


def _tree(folder: Folder) -> list[psutil.Process] | None:
    """The processes of the stack that runs on the folder; None where none runs."""
    running = folder.running()
    if running is None:
        return None
    supervisor = psutil.Process(running.pid)
    return [supervisor, *supervisor.children(recursive=True)]
