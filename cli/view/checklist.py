"""A list of steps with check marks: live on a terminal, plain lines elsewhere.

Knows nothing of what the steps do.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.view import output
from cli.view.output import CommandError

BAR_WIDTH = 24
PLAIN_LINE_EVERY_S = 15


class Step:
    """One step in progress. Its bar follows `share` if that is known, otherwise the expected
    time.
    """

    def __init__(self, title: str, expected_s: float, is_drawn: bool) -> None:
        self.title, self.expected_s, self.is_drawn = title, expected_s, is_drawn
        self.started = time.monotonic()
        self.share: float | None = None
        self.shown = 0.0
        self.ends_at: float | None = None
        self.detail = ""
        self.body: RenderableType | None = None
        self.printed_at = self.started

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def at(self, done: float, total: float, left_s: float | None = None) -> None:
        """Set the progress of the step; without `left_s`, the pace so far gives an estimate."""
        self.share = done / total if total else None
        if left_s is None and done:
            left_s = self.seconds * (total - done) / done
        self.ends_at = None if left_s is None else time.monotonic() + left_s
        self.tick()

    def tick(self) -> None:
        """If nothing is drawn, print the progress of the step at intervals."""
        if (
            not self.is_drawn
            and self.share != 1
            and time.monotonic() - self.printed_at > PLAIN_LINE_EVERY_S
        ):
            self.printed_at = time.monotonic()
            output.say(f"  {self.line()}")

    def estimate(self) -> tuple[float, float]:
        """Return the completed share, which never decreases, and the seconds left."""
        if self.share is not None and self.ends_at is not None:
            share, left_s = self.share, max(0, self.ends_at - time.monotonic())
        else:
            # The bar of a step that takes longer than expected slows down and never reaches 100 %.
            share = self.seconds / (self.seconds + self.expected_s / 2)
            left_s = max(1, self.expected_s - self.seconds, self.seconds * (1 - share))
        self.shown = max(self.shown, share)
        return self.shown, left_s

    def phrase(self) -> str:
        share, left_s = self.estimate()
        left = "nearly done" if share == 1 else f"about {output.duration(left_s)} left"
        return f"{share:4.0%}  {left}"

    def line(self) -> str:
        return f"{self.phrase()}  {self.detail}".rstrip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        phrase = self.phrase()
        yield Text.assemble(("● ", "cyan"), (self.title, "bold"), no_wrap=True, overflow="ellipsis")
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(
            ProgressBar(total=1, completed=self.shown, width=BAR_WIDTH),
            Text(phrase),
            Text(self.detail, style="dim", no_wrap=True, overflow="ellipsis"),
        )
        yield Padding(line, (0, 0, 0, 2))
        if self.body is not None:
            yield Padding(self.body, (0, 0, 0, 2))


class Checklist:
    """Steps in the given order; each is started by its title."""

    def __init__(self, expected_s: Mapping[str, float]) -> None:
        self.expected_s = expected_s
        self.pending = list(expected_s)
        self.console = output.screen()
        self.live: Live | None = None

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step as in progress, then as done (or as failed, if the block raises)."""
        self.pending.remove(title)
        step = Step(title, self.expected_s[title], self.console.is_terminal)
        try:
            if self.console.is_terminal:
                with self._drawn(step):
                    yield step
            else:
                output.say(f"… {title}")
                yield step
        except (CommandError, KeyboardInterrupt):
            self._tick("✗", "red", step)
            raise
        self._tick("✓", "green", step)

    def skip(self, title: str, why: str) -> None:
        """Mark a step as done that is not needed."""
        self.pending.remove(title)
        self.console.print(Text.assemble(("✓ ", "green"), title, (f"  {why}", "dim")))

    def _tick(self, mark: str, style: str, step: Step) -> None:
        line = Text.assemble((f"{mark} ", style), step.title)
        line.append(f"  {step.detail}" if step.detail else "", "dim")
        line.append(f"  {output.duration(step.seconds)}", "dim")
        self.console.print(line)

    @contextmanager
    def _drawn(self, step: Step) -> Iterator[None]:
        todo = [Text(f"○ {title}", style="dim") for title in self.pending]
        drawn = Group(step, *todo)
        with Live(drawn, console=self.console, refresh_per_second=8, transient=True):
            yield
