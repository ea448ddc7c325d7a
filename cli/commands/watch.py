"""Shows a running job: collects its stream in a view, and draws the view in a terminal.

Knows the stream's shape (`GET /v1/fine_tuning/jobs/{id}/stream`), not how it is fetched or made.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.client.http import connect, segment
from cli.client.operations import in_commands, reason
from cli.client.sse import ServerEvent, follow
from cli.commands import gates
from cli.view import output
from orpo.contract.numbers import Series
from orpo.contract.rundir import Level, Split

# The series that show the progress of a preference training, and their names on screen.
SERIES: dict[str, str] = {
    Series.LOGPS_CHOSEN: "log-prob chosen",
    Series.LOGPS_REJECTED: "log-prob rejected",
    Series.LOG_ODDS_RATIO: "log odds ratio",
    Series.REWARD_CHOSEN: "reward chosen",
    Series.REWARD_REJECTED: "reward rejected",
    Series.ACCURACY: "accuracy",
    Series.REWARD_MEAN: "reward",
    Series.KL: "KL from the base",
    Series.LOSS: "loss",
}
# Drawn on one scale, so that the distance between the two lines is visible.
SHARED_SCALES = (
    (Series.LOGPS_CHOSEN, Series.LOGPS_REJECTED),
    (Series.REWARD_CHOSEN, Series.REWARD_REJECTED),
)
STYLES: dict[str, str] = {
    **dict.fromkeys((Series.LOGPS_CHOSEN, Series.REWARD_CHOSEN), "green"),
    **dict.fromkeys((Series.LOGPS_REJECTED, Series.REWARD_REJECTED), "red"),
}
# Only a reward model has the latter, and it has none of the former.
OF_REWARDS = (Series.REWARD_CHOSEN, Series.REWARD_REJECTED)
OF_TOKENS = (Series.LOGPS_CHOSEN, Series.LOGPS_REJECTED, Series.LOG_ODDS_RATIO)
EVENTS_SHOWN = 3
PLAIN_LINE_EVERY_S = 20


@dataclass
class JobView:
    """The state of a job so far."""

    job_id: str
    status: str = ""
    progress: dict[str, Any] = field(default_factory=dict)
    progress_at: float = 0
    fine_tuned_model: str | None = None
    error: dict[str, Any] | None = None
    gates: list[dict[str, Any]] = field(default_factory=list)
    promotion: dict[str, Any] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    # split -> name -> step -> value; a step that is repeated after a crash replaces its old value.
    values: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)

    def apply(self, event: ServerEvent) -> None:
        data = json.loads(event.data or "{}")
        match event.name:
            case "state":
                self._apply_state(data)
            case "metrics":
                self._apply_metrics(data)
            case "event":
                self.events.append(data)

    def _apply_state(self, state: dict[str, Any]) -> None:
        self.status = state["status"]
        if progress := state.get("progress"):
            self.progress, self.progress_at = progress, time.monotonic()
        self.fine_tuned_model = state.get("fine_tuned_model")
        self.error = state.get("error")
        self.gates, self.promotion = state.get("gates") or [], state.get("promotion")

    def _apply_metrics(self, metrics: dict[str, Any]) -> None:
        series = self.values.setdefault(metrics["split"], {})
        for name, value in metrics["values"].items():
            if value is not None:
                series.setdefault(name, {})[metrics["step"]] = value

    def series(self, split: str, name: str) -> list[float]:
        return [value for _, value in sorted(self.values.get(split, {}).get(name, {}).items())]

    def held_out(self, name: str) -> str:
        """The first and the last value of a series on the held-out pairs; empty without any."""
        values = self.series(Split.HELD_OUT, name)
        then = f" → {number(name, values[-1])}" if len(values) > 1 else ""
        return f"{number(name, values[0])}{then}" if values else ""

    @property
    def eta_s(self) -> float | None:
        """Seconds left; counts down between two reports."""
        eta_s = self.progress.get("eta_s")
        return None if eta_s is None else max(0, eta_s - (time.monotonic() - self.progress_at))

    @property
    def step(self) -> int:
        return self.progress.get("step") or 0

    @property
    def steps(self) -> int:
        return self.progress.get("steps") or 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(self._headline(), self._bar(), Sparklines(self))
        for event in self.events[-EVENTS_SHOWN:]:
            yield event_line(event)

    def _headline(self) -> Text:
        model = self.fine_tuned_model
        line = Text.assemble((self.job_id, "bold"), "  ", output.status(self.status))
        return line.append(f"  {output.plain(model)}") if model else line

    def _bar(self) -> Table:
        epoch, left = self.progress.get("epoch"), output.duration(self.eta_s)
        parts = [f"step {self.step}/{self.steps}" if self.steps else self._beginning()]
        parts += [f"epoch {epoch:.1f}"] if epoch is not None else []
        parts += [f"{left} left"] if left and self.status == "running" else []
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(
            ProgressBar(total=max(1, self.steps), completed=self.step, width=24), "  ".join(parts)
        )
        return line

    def _beginning(self) -> str:
        preparing = self.progress.get("preparing")
        if preparing is None or self.status != "validating_files":
            return "not yet training"
        return f"{preparing['tokenised']:,} of {preparing['pairs']:,} pairs tokenised"


@dataclass
class Sparklines:
    """Each training series, with its first and last value on the held-out pairs."""

    view: JobView

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.view.values:
            return
        grid = Table.grid(padding=(0, 2, 0, 0))
        for justify in ("left", "left", "right", "left"):
            grid.add_column(justify=justify, no_wrap=True)
        spark_width = max(8, min(48, options.max_width - 57))
        absent = OF_TOKENS if self.view.series(Split.TRAIN, Series.REWARD_CHOSEN) else OF_REWARDS
        for name in SERIES:
            if name not in absent:
                grid.add_row(*self._row(name, spark_width))
        yield grid

    def _row(self, name: str, spark_width: int) -> tuple[Text | str, ...]:
        train = self.view.series(Split.TRAIN, name)
        scale = self._scale(name)
        spark = output.sparkline(train, spark_width, *scale)
        return (
            Text(SERIES[name], "dim"),
            Text(spark.ljust(spark_width), STYLES.get(name, "cyan")),
            number(name, train[-1] if train else None),
            Text(self._held_out(name), "dim"),
        )

    def _scale(self, name: str) -> tuple[float, ...]:
        """Return the lowest and highest value to draw; empty for the series' own range."""
        if name == Series.ACCURACY:
            return (0, 1)
        together = next((names for names in SHARED_SCALES if name in names), None)
        if together is None:
            return ()
        values = [value for each in together for value in self.view.series(Split.TRAIN, each)]
        return (min(values), max(values)) if values else ()

    def _held_out(self, name: str) -> str:
        held_out = self.view.held_out(name)
        return held_out and f"held out {held_out}"


def number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0%}" if name == Series.ACCURACY else f"{value:.3f}"


def event_line(event: dict[str, Any]) -> Text:
    """The message of an event, coloured by its level."""
    style = {Level.WARN: "yellow", Level.ERROR: "red"}.get(event.get("level", ""), "dim")
    return Text(output.plain(message(event)), style=style)


def message(event: dict[str, Any]) -> str:
    return in_commands(str(event.get("message", "")))


def stream(job_id: str) -> Iterator[ServerEvent]:
    return follow(connect, f"/v1/fine_tuning/jobs/{segment(job_id)}/stream", last_name="done")


def watch(job_id: str, as_json: bool) -> JobView:
    """Show a job until its stream ends: live on a terminal, as lines or JSON otherwise."""
    view = JobView(job_id)
    console = output.screen()
    if as_json:
        _gather(view, stream(job_id), _emit)
    elif console.is_terminal:
        with Live(view, console=console, refresh_per_second=4):
            _gather(view, stream(job_id), lambda _: None)
        console.print(summary(view))
    else:
        _gather(view, stream(job_id), PlainLines(view))
        output.say_at(result_line(view))
    return view


def _gather(
    view: JobView, events: Iterable[ServerEvent], tell: Callable[[ServerEvent], None]
) -> None:
    for event in events:
        view.apply(event)
        tell(event)


def _emit(event: ServerEvent) -> None:
    output.emit({"event": event.name, "id": event.id, "data": json.loads(event.data or "{}")})


class PlainLines:
    """The same for a log: a line with its time when the status changes, for each event (with the
    event's time), and at intervals.
    """

    def __init__(self, view: JobView) -> None:
        self.view, self.status, self.printed_at = view, "", time.monotonic()

    def __call__(self, event: ServerEvent) -> None:
        view = self.view
        if view.status != self.status:
            self.status = view.status
            output.say_at(f"{view.job_id}  {view.status}")
        if event.name == "event":
            output.say_at(message(view.events[-1]), view.events[-1].get("created_at"))
        elif view.steps and time.monotonic() - self.printed_at > PLAIN_LINE_EVERY_S:
            self.printed_at = time.monotonic()
            output.say_at(progress_line(view))


def progress_line(view: JobView) -> str:
    parts = [f"step {view.step}/{view.steps}"]
    parts += [f"{output.duration(view.eta_s)} left"] if view.eta_s is not None else []
    for name, title in SERIES.items():
        if train := view.series(Split.TRAIN, name):
            parts.append(f"{title} {number(name, train[-1])}")
    return "  ".join(parts)


def result_line(view: JobView) -> str:
    """How a job ended, with what was measured on its held-out pairs, in one line."""
    held_out = [
        f"{title} {view.held_out(name)}" for name, title in SERIES.items() if view.held_out(name)
    ]
    ended, *of_gates = summary(view).plain.splitlines()
    measured = [f"held out: {', '.join(held_out)}"] if held_out else []
    return "  ".join([ended, *measured, *of_gates])


def summary(view: JobView) -> Text:
    line = Text.assemble((view.job_id, "bold"), "  ", output.status(view.status))
    if view.fine_tuned_model:
        line.append(f"  {output.plain(view.fine_tuned_model)}")
    if why := reason(view.error):
        line.append(f"  {output.plain(why)}")
    if view.gates and view.status == "succeeded":
        line.append("\n").append(gates.summary(view.job_id, view.gates, view.promotion))
    return line
