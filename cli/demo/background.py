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
from dataclasses import dataclass
from typing import IO

from cli.stack.folder import Folder, Running
from cli.view import output
from cli.view.checklist import Step
from cli.view.output import CommandError

ODDSMITH = (sys.executable, "-m", "cli.main")


@dataclass(frozen=True)
class Program:
    """A program that runs in the background, with what it prints."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def wait(self, step: Step, on_failure: str) -> None:
        """Wait for its end while the step shows how long it takes.

        Raises CommandError with `on_failure` and its last lines if it failed.
        """
        while self.process.poll() is None:
            time.sleep(0.1)
            step.tick()
        if self.process.returncode != 0:
            self.log.seek(0)
            printed = self.log.read().decode(errors="replace")
            raise CommandError(f"{on_failure}\n{last_words(printed)}")


@contextmanager
def started(argv: Sequence[str]) -> Iterator[Program]:
    """Start a program; end it if it still runs when the block ends."""
    # A file, not a pipe: a detached stack would keep a pipe open, and reading it would never end.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # only the demo gets Ctrl-C, and stops everything in order
        )
        try:
            yield Program(process, log)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)


def last_words(text: str) -> str:
    """Return a program's last output: the core's error object as a sentence, or its lines."""
    lines = text.strip().splitlines()
    try:
        error = json.loads(lines[-1])["error"]
        return " ".join(filter(None, (error["message"], error.get("hint"))))
    except (IndexError, KeyError, TypeError, ValueError):
        return "\n".join(map(output.plain, lines[-5:]))


def start(step: Step, folder: Folder) -> Running:
    with started([*ODDSMITH, "up", "--detach"]) as program:
        program.wait(step, "The stack did not start:")
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
