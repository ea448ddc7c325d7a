"""The terminal output of the stack: a line per part, a bar while it starts. Decides nothing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.stack.process import Part, Stage


class Terminal:
    """Prints lines and a bar; on a pipe only the lines."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """For a step of a few seconds whose progress is unknown."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(what):
            yield

    @contextmanager
    def starting(self, count: int) -> Iterator[None]:
        columns = (
            TextColumn("  [dim]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
        )
        hidden = not self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=hidden) as progress:
            self._progress = progress
            self._task = progress.add_task("Starting", total=count)
            yield

    def step(self, title: str, seconds: float, detail: str = "") -> None:
        self.say(f"  [green]✓[/] {title:<18} {seconds:5.1f} s  [dim]{detail}[/]")

    def ready(self, part: Part, seconds: float) -> None:
        self.step(part.title, seconds, part.detail)
        self._progress.advance(self._task)

    def restarting(self, part: Part, code: int, pause_s: float) -> None:
        at = time.strftime("%H:%M:%S")
        self.say(
            f"  [yellow]![/] {at} {part.title} ended with code {code}; "
            f"it starts again in {pause_s:.1f} s (see {part.name}.log)"
        )

    def stopping(self, parts: Sequence[Part], timeout_s: float) -> None:
        names = ", ".join(part.title for part in parts)
        self.say(f"  Stopping {names} (at most {timeout_s:.0f} s)")
        if any(part.stage is Stage.SERVICES for part in parts) and self.console.is_terminal:
            self.say(
                "  [dim]A running training saves a checkpoint first; Ctrl-C again stops faster.[/]"
            )

    def hurrying(self, timeout_s: float) -> None:
        self.say(f"  Stopping faster: parts that still run in {timeout_s:.0f} s are killed")

    def killing(self, part: Part) -> None:
        self.say(f"  [yellow]![/] {part.title} did not stop in time and is killed")
