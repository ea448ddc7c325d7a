"""Follows an evaluation until it ends: a bar on a terminal, lines in a log."""

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cli.client.http import connect, segment
from cli.client.operations import in_commands
from cli.client.sse import ServerEvent, follow
from cli.view import output
from cli.view.progress import stages
from orpo.contract.rundir import Level

PHASES = {
    "waiting_for_models": "Waiting for the models",
    "answers": "Asking for answers",
    "judgments": "Asking the judge",
    "likelihoods": "Computing likelihoods",
    "embeddings": "Comparing the answers",
    "scores": "Computing scores",
}
WAITING = "Waiting for a worker"
RUNNING = ("queued", "running")
LINE_EVERY_S = 20


@dataclass
class Followed:
    """The evaluation as the last events of its stream describe it."""

    status: str = ""
    progress: dict[str, Any] = field(default_factory=dict)
    # Sentences of events that are warnings or errors.
    warnings: list[str] = field(default_factory=list)

    def apply(self, event: ServerEvent) -> None:
        data = json.loads(event.data or "{}")
        if event.name == "state":
            self.status, self.progress = data["status"], data.get("progress") or {}
        elif event.name == "event" and data.get("level") in (Level.WARN, Level.ERROR):
            self.warnings.append(in_commands(str(data.get("message", ""))))

    @property
    def phase(self) -> str:
        """What is done now."""
        if self.status == "queued":
            return WAITING
        return PHASES.get(self.progress.get("phase") or "", "Starting")

    def line(self) -> str:
        """The same with how much of it is done, and the time left."""
        parts = [self.phase]
        if total := self.progress.get("total"):
            parts.append(f"{self.progress.get('done') or 0:,} of {total:,}")
        if left := output.duration(self.progress.get("eta_s")):
            parts.append(f"{left} left")
        return ", ".join(parts)


def until_ended(evaluation_id: str, quiet: bool = False) -> None:
    """Return when the evaluation has ended. Beside a bar, warnings are printed on stderr."""
    path = f"/v1/evaluations/{segment(evaluation_id)}/stream"
    events = follow(connect, path, last_name="done")
    if quiet or sys.stderr.isatty():
        _with_bar(events, quiet)
    else:
        _in_lines(evaluation_id, events)


def _with_bar(events: Iterable[ServerEvent], quiet: bool) -> None:
    followed = Followed()
    with stages(WAITING, quiet) as show:
        for event in events:
            followed.apply(event)
            done, total = (followed.progress.get(name) for name in ("done", "total"))
            if followed.status in RUNNING:
                show(followed.phase, done or 0, total)
    # After the bar, which would be drawn into them.
    for sentence in () if quiet else dict.fromkeys(followed.warnings):
        output.warn(sentence)


def _in_lines(evaluation_id: str, events: Iterable[ServerEvent]) -> None:
    """A line with its time for each status, each phase, each warning, and each LINE_EVERY_S in
    between.
    """
    followed, status, said, told, said_at = Followed(), "", "", 0, 0.0
    for event in events:
        followed.apply(event)
        if followed.status != status:
            status = followed.status
            output.say_at(f"{evaluation_id}  {status}")
        for sentence in followed.warnings[told:]:
            output.say_at(f"warning: {sentence}")
        told = len(followed.warnings)
        is_due = time.monotonic() - said_at > LINE_EVERY_S
        if followed.status in RUNNING and (followed.phase != said or is_due):
            said, said_at = followed.phase, time.monotonic()
            output.say_at(followed.line())
