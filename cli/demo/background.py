"""Starts the stack and other programs for the demo, waits for them, and stops them.

Uses `oddsmith up` and `oddsmith down`, so a demo runs the same stack as a user does.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cli.stack.folder import Folder, Running
from cli.view import output
from cli.view.checklist import Step
from cli.view.output import CommandError

ODDSMITH = (sys.executable, "-m", "cli.main")


def run(argv: Sequence[str], step: Step, on_failure: str) -> None:
    """Run a program to its end while the step shows how long it takes."""
    # A file, not a pipe: a detached stack would keep a pipe open, and reading it would never end.
    with tempfile.TemporaryFile() as log:
        program = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # only the demo gets Ctrl-C, and stops everything in order
        )
        try:
            while program.poll() is None:
                time.sleep(0.1)
                step.tick()
        except BaseException:
            program.terminate()
            program.wait(timeout=30)
            raise
        if program.returncode != 0:
            log.seek(0)
            printed = log.read().decode(errors="replace")
            raise CommandError(f"{on_failure}\n{last_words(printed)}")


def last_words(text: str) -> str:
    """Return a program's last output: the core's error object as a sentence, or its lines."""
    lines = text.strip().splitlines()
    try:
        error = json.loads(lines[-1])["error"]
        return " ".join(filter(None, (error["message"], error.get("hint"))))
    except (IndexError, KeyError, TypeError, ValueError):
        return "\n".join(map(output.plain, lines[-5:]))


def start(step: Step, folder: Folder) -> Running:
    run([*ODDSMITH, "up", "--detach"], step, "The stack did not start:")
    running = folder.running()
    if running is None:
        raise CommandError(f"The stack started and ended; its logs are in {folder.logs}.")
    return running


@contextmanager
def stopped_at_end(folder: Folder) -> Iterator[None]:
    """Stop the stack when the block ends, even if it raises."""
    try:
        yield
    finally:
        if folder.holder() is not None:
            output.say("Stopping the stack")
            down = subprocess.run(
                [*ODDSMITH, "down"], check=False, stdout=subprocess.DEVNULL, start_new_session=True
            )
            if down.returncode == 0:
                output.say("Stopped. `make up` brings it back with everything in it.")
