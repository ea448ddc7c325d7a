"""The output and exit of every command: exit codes, errors, JSON, tables, plain text.

Knows nothing of HTTP, files, jobs or models.
"""

import functools
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from itertools import pairwise
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.platform import sizes


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    DENIED = 5
    CANCELLED = 6
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 done; 1 the operation failed; 2 wrong usage; 3 the API can't be reached; "
    "4 the API refused the request (not found, invalid, in conflict); 5 the key is missing, wrong "
    "or lacks a scope; 6 the run was cancelled; 130 interrupted."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]
Unmask = Annotated[
    bool, typer.Option("--unmask", help="Show personal data and secrets, which are masked.")
]


class CommandError(Exception):
    """Ends a command: a sentence for people, an exit code and an error object for programs."""

    def __init__(
        self, message: str, code: ExitCode = ExitCode.FAILED, error: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.error = error or {"message": message, "type": code.name.lower()}


def noun(description: str) -> typer.Typer:
    """Make the command group of one noun, such as `files`."""
    return typer.Typer(help=description, epilog=EPILOG, no_args_is_help=True)


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command; its errors become a sentence and an exit code."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, epilog=EPILOG)(guarded(function))
        return function

    return register


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except CommandError as error:
            if kwargs.get("as_json"):
                emit({"error": error.error})
            complain(error.message)
            raise typer.Exit(error.code) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    return run


def complain(sentence: str) -> None:
    _print_marked(Text("error: ", style="bold red"), sentence)


def warn(sentence: str) -> None:
    """Print a sentence on stderr about something that does not end the command."""
    _print_marked(Text("warning: ", style="bold yellow"), sentence)


def _print_marked(mark: Text, sentence: str) -> None:
    Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(
        mark, plain(sentence), sep="", end="\n"
    )


def screen() -> Console:
    """Return a console for stdout that prints every string literally.

    Off a terminal it is very wide, so that a line of a table stays one line.
    """
    width = None if sys.stdout.isatty() else 1000
    return Console(markup=False, highlight=False, emoji=False, width=width)


def say(message: str | Text) -> None:
    """Print one line; the terminal wraps it."""
    text = plain(message) if isinstance(message, str) else message
    screen().print(text, soft_wrap=True)


def paragraph(text: str) -> None:
    """Print sentences, wrapped between words on a terminal."""
    screen().print(Text(plain(text)))


def emit(value: Any) -> None:
    """Print JSON in one line, as ASCII: neither the locale nor control characters can corrupt
    it.
    """
    print(json.dumps(value), flush=True)


def emit_or_say(value: Any, as_json: bool, message: str) -> None:
    if as_json:
        emit(value)
    else:
        say(message)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    empty: str,
    unbroken: Sequence[str] = (),
) -> None:
    """Print rows under dim headings, or the sentence `empty` if there are none.

    Where a line is too long, the columns that are not `unbroken` are folded.
    """
    lines = [[cell(value) for value in row] for row in rows]
    if not lines:
        say(empty)
        return
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for column in columns:
        # Folded, never cut: an incomplete id is useless.
        grid.add_column(column, overflow="fold", no_wrap=column in unbroken)
    for line in lines:
        grid.add_row(*line)
    show(grid)


def show(grid: Table) -> None:
    console = screen()
    if console.is_terminal:
        console.print(grid)
        return
    with console.capture() as drawn:
        console.print(grid)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def details(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values; leave out values that are None."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            grid.add_row(name, cell(value))
    show(grid)


def cell(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("")
    return Text(plain(value if isinstance(value, str) else json.dumps(value)))


STATUS_STYLE = {
    "processed": "green",
    "ready": "green",
    "succeeded": "green",
    "running": "cyan",
    "starting": "cyan",
    "paused": "yellow",
    "cancelled": "yellow",
    "error": "red",
    "failed": "red",
}


def short(text: str, longest: int | None) -> str:
    """Return the beginning of a text in one line, or all of it where `longest` is None."""
    if longest is None:
        return text
    words = " ".join(text.split())
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def status(value: str) -> Text:
    return Text(plain(value), style=STATUS_STYLE.get(value, ""))


def when(unix_s: float | None) -> str:
    if unix_s is None:
        return ""
    return datetime.fromtimestamp(unix_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def say_at(message: str, unix_s: float | None = None) -> None:
    """Print one line of a log: a time in ISO 8601 (now if left out), and a message in one line."""
    at = datetime.now(UTC) if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
    time = at.astimezone().isoformat(timespec="seconds")
    say(f"{time}  {'  '.join(message.splitlines())}")


def size(size_bytes: float) -> str:
    """Write bytes as 12 B, 3.4 kB or 1.2 GB."""
    return sizes.size_text(size_bytes)


def duration(seconds: float | None) -> str:
    """Write seconds as 8 s, 1:05 min or 2:03:00 h."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


# CSI and string sequences (OSC, DCS, SOS, PM, APC) in their 7 and 8 bit forms, then two-byte ones.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """Remove what could control the terminal: escapes, controls, bidi marks, surrogates."""
    kept = _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\t", "    ")
    return "".join(c for c in kept if c == "\n" or not _steers(c))


def _steers(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"} or character in _BIDI


_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(
    values: Sequence[float], width: int, low: float | None = None, high: float | None = None
) -> str:
    """Draw values in at most `width` blocks; each block shows the mean of its values."""
    if not values or width < 1:
        return ""
    low = min(values) if low is None else low
    high = max(values) if high is None else high
    means = _means(values, min(width, len(values)))
    reach = (high - low) or 1
    return "".join(_BLOCKS[min(7, max(0, int((mean - low) / reach * 8)))] for mean in means)


def _means(values: Sequence[float], count: int) -> list[float]:
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
