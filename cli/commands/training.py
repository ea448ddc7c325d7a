"""Runs a training process: starts it, follows its files, stops it on Ctrl-C.

Knows the run directory's journals; knows nothing of what is trained.
"""

import math
import signal
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

from cli.view import output
from cli.view.output import CommandError
from cli.view.progress import bar
from orpo.contract import rundir
from orpo.contract.failures import Code
from orpo.contract.numbers import Series
from orpo.contract.rundir import STARTS, Event, Split
from services.launchers.local import TrainingProcess
from services.processes import prepared
from services.processes.verbs import VerbError, run_verb, smaller_budget, tokenised
from services.runs.follow import Journal

POLL_S = 0.2


@dataclass
class Training:
    """A running training process, and its journal so far."""

    run_dir: Path
    process: TrainingProcess
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    interrupts: int = 0
    stop_heard: bool = False

    def __post_init__(self) -> None:
        self.journal = Journal(self.run_dir)

    @property
    def end(self) -> dict[str, Any] | None:
        """The event that says how the run ended; None if it was killed."""
        return self.journal.outcome

    @property
    def log(self) -> Path:
        """The log with the process's output."""
        return self.run_dir / rundir.log()

    @property
    def smaller_budget(self) -> int | None:
        """The smaller token budget for a retry, if it ran out of memory; otherwise None."""
        code = ((self.end or {}).get("data") or {}).get("code")
        return smaller_budget(self.journal.started) if code == Code.OUT_OF_MEMORY else None

    def follow(self, quiet: bool = False) -> None:
        """Show progress on stderr until the process has ended."""
        with _progress(quiet) as progress, self._interruptible(progress):
            task = progress.add_task("loading", total=None, numbers="")
            while self.process.poll() is None:
                self._show(progress, task)
                if self.interrupts:
                    self.ask_to_stop()
                time.sleep(POLL_S)
            self._show(progress, task)

    def _show(self, progress: Progress, task: TaskID) -> None:
        for record in self.journal.metrics.take():
            values = record["values"]
            if record["split"] == Split.HELD_OUT:
                self.first, self.last = self.first or values, values
            else:
                progress.update(
                    task, completed=record["step"], description="training", numbers=line(values)
                )
        for event in self.journal.events.take():
            kind = self.journal.learn(event)
            if kind in STARTS:
                completed = event["data"]["first_step"] - 1
                progress.update(task, total=self.journal.steps, completed=completed)
            # Not printed here: an error ends the command, which prints it.
            if kind not in (Event.STARTED, Event.ERROR):
                progress.console.print(event["message"])

    def ask_to_stop(self) -> None:
        """Let the ranks save a checkpoint and end. Has no effect before the ranks have started."""
        self.stop_heard = self.stop_heard or self.process.ask_to_stop()

    @contextmanager
    def _interruptible(self, progress: Progress) -> Iterator[None]:
        def interrupt(*_: object) -> None:
            self.interrupts += 1
            if self.interrupts == 1:
                progress.console.print("Saving a checkpoint; Ctrl-C again ends at once.")
            else:
                self.process.kill()

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def prepare(run_dir: Path, quiet: bool = False) -> None:
    """Tokenise a run's pairs once for all its ranks, on all cores, with a bar on stderr.

    Raises CommandError if they can't be trained on.
    """
    with bar("Tokenising", quiet) as show:

        def look() -> None:
            if count := tokenised(run_dir):
                show(count["tokenised"], count["pairs"])

        try:
            found = run_verb("prepare", str(run_dir), timeout_s=math.inf, meanwhile=look)
        except VerbError as failure:
            parts = (failure.error.get(part) for part in ("message", "hint"))
            raise CommandError(" ".join(filter(None, parts)), error=failure.error) from None
    for side, pairs in ((Split.TRAIN, "training"), (Split.HELD_OUT, "held-out")):
        if words := prepared.dropped(found[side]):
            output.warn(f"Of the {pairs} pairs, {words}.")


def intact(checkpoint: Path) -> bool:
    """Whether a checkpoint matches its manifest, and a run can be resumed from it."""
    try:
        return bool(run_verb("manifest", str(checkpoint.absolute()))["resumable"])
    except VerbError:
        return False


def line(values: dict[str, float | None]) -> str:
    """A step's numbers in a few words."""
    shown = {
        Series.LOGPS_CHOSEN: "chosen",
        Series.LOGPS_REJECTED: "rejected",
        Series.ACCURACY: "accuracy",
    }
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
