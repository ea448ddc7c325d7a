"""A training process of one's own: launched, followed by its files, stopped by Ctrl-C.

Knows the run directory's journals; knows nothing of what is trained.
"""

import json
import math
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from cli.output import CommandError
from cli.progress import bar
from orpo.contract.spec import RunSpec
from services import sandbox
from services.reach import of_run
from services.settings import get_settings
from services.verbs import VerbError, environment, run_verb, smaller_budget, tokenised

POLL_S = 0.2
ENDS = ("finished", "stopped", "error")


@dataclass
class Journal:
    """The complete lines of one growing file."""

    path: Path
    offset: int = 0

    def read(self) -> list[dict[str, Any]]:
        """The records that were not there before; a torn last line waits for its rest."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            whole = [line for line in file if line.endswith(b"\n")]
        self.offset += sum(map(len, whole))
        return [json.loads(line) for line in whole]


@dataclass
class Training:
    """A running training, and what its journals have told so far."""

    run_dir: Path
    process: subprocess.Popen[bytes]
    end: dict[str, Any] | None = None
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    started: dict[str, Any] = field(default_factory=dict)
    interrupts: int = 0

    def __post_init__(self) -> None:
        self._metrics = Journal(self.run_dir / "metrics.jsonl")
        self._events = Journal(self.run_dir / "events.jsonl")

    @property
    def log(self) -> Path:
        """What the process prints."""
        return self.run_dir / "train.log"

    @property
    def smaller_budget(self) -> int | None:
        """Tokens in a forward pass with which to try again, where it ran out of memory."""
        code = ((self.end or {}).get("data") or {}).get("code")
        return smaller_budget(self.started) if code == "out_of_memory" else None

    def follow(self, quiet: bool = False) -> None:
        """Show progress on stderr until the process has ended."""
        with _progress(quiet) as progress, self._interruptible(progress):
            task = progress.add_task("loading", total=None, numbers="")
            while self.process.poll() is None:
                self._show(progress, task)
                time.sleep(POLL_S)
            self._show(progress, task)

    def _show(self, progress: Progress, task: TaskID) -> None:
        for record in self._metrics.read():
            values = record["values"]
            if record["split"] == "held_out":
                self.first, self.last = self.first or values, values
            else:
                progress.update(
                    task, completed=record["step"], description="training", numbers=line(values)
                )
        for event in self._events.read():
            if event["type"] in ENDS:
                self.end = event
            elif event["type"] in ("started", "resumed"):
                self.started = event["data"]
                progress.update(
                    task, total=self.started["steps"], completed=event["data"]["first_step"] - 1
                )
            if event["type"] not in (
                "started",
                "error",
            ):  # an error ends the command, and is said there
                progress.console.print(event["message"])

    def ask_to_stop(self) -> None:
        """Send SIGTERM, which the sandbox and the process that started the ranks hand on to them:
        they save a checkpoint and end.
        """
        self.process.terminate()

    @contextmanager
    def _interruptible(self, progress: Progress) -> Iterator[None]:
        def interrupt(*_: object) -> None:
            self.interrupts += 1
            if self.interrupts == 1:
                progress.console.print("Saving a checkpoint; Ctrl-C again ends at once.")
                self.ask_to_stop()
            else:
                self.process.kill()

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def prepare(run_dir: Path, quiet: bool = False) -> None:
    """Tokenise a run's pairs once for all its ranks, over every core; a bar on stderr says how far.

    Raises CommandError where they can't be trained on.
    """
    with bar("Tokenising", quiet) as show:

        def look() -> None:
            if told := tokenised(run_dir):
                show(told["tokenised"], told["pairs"])

        try:
            run_verb("prepare", str(run_dir), timeout_s=math.inf, meanwhile=look)
        except VerbError as failure:
            said = (failure.error.get(part) for part in ("message", "hint"))
            raise CommandError(" ".join(filter(None, said)), error=failure.error) from None


def launch(run_dir: Path, spec: RunSpec) -> Training:
    """Start the training of a run directory, of one process or several; confined to that folder
    and to what its spec names.
    """
    ranks = [get_settings().train_python, "-m", "orpo.ranks", str(spec.method.processes)]
    reach = of_run(spec, run_dir)
    with (run_dir / "train.log").open("ab") as log:
        process = subprocess.Popen(
            sandbox.wrap([*ranks, "train", str(run_dir)], reads=reach.reads, writes=reach.writes),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(str(run_dir)),
            start_new_session=True,
        )
    return Training(run_dir, process)


def intact(checkpoint: Path) -> bool:
    """Whether a checkpoint's files are what its manifest says, and a run can go on from it."""
    try:
        return bool(run_verb("manifest", str(checkpoint.absolute()))["resumable"])
    except VerbError:
        return False


def line(values: dict[str, float | None]) -> str:
    """A step's numbers in a few words."""
    shown = {"logps/chosen": "chosen", "logps/rejected": "rejected", "accuracy": "accuracy"}
    given = ((word, values.get(name)) for name, word in shown.items())
    return "  ".join(f"{word} {value:.3f}" for word, value in given if value is not None)


def _progress(quiet: bool) -> Progress:
    console = Console(stderr=True, markup=False, highlight=False, quiet=quiet)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[numbers]}", markup=False),
        console=console,
        disable=not console.is_terminal,
    )
