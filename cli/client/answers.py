"""Answers of several models to one prompt: streamed, collected per side, drawn side by side.

A model's text is data: it is shown as plain text, never as markup or escape sequences.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from queue import Queue
from threading import Thread
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.client.http import Client
from cli.client.operations import reason
from cli.view import output
from cli.view.output import CommandError

Message = dict[str, str]
Sampling = dict[str, Any]

# Two panels narrower than this are harder to read than one below the other.
NARROWEST_SIDE = 32
CUT_OFF = "cut off at max tokens"


@dataclass
class Side:
    """One model's answer so far."""

    model: str
    answer: str = ""
    is_done: bool = False
    error: str | None = None
    # As the engine says it: `stop`, or `length` for an answer that was cut off at max_tokens.
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    first_token_s: float | None = None
    tokens_per_s: float | None = None

    def apply(self, event: dict[str, Any]) -> None:
        self.answer += event.get("delta") or ""
        if error := event.get("error"):
            self.error = _sentence(error)
        if "done" in event or self.error:
            self.is_done = True
            self.finish_reason = event.get("finish_reason")
            self.usage = event.get("usage")
            self.first_token_s = event.get("first_token_s")
            self.tokens_per_s = event.get("tokens_per_s")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def pace(self) -> str:
        if self.tokens_per_s is None or self.first_token_s is None:
            return "" if self.is_done else "…"
        return f"first token {self.first_token_s:.2f} s, {self.tokens_per_s:.0f} tokens/s"

    @property
    def is_cut_off(self) -> bool:
        return self.finish_reason == "length"

    @property
    def footnote(self) -> str:
        """The pace, and whether the answer was cut off, in the words of the page."""
        return ", ".join(filter(None, (self.pace, CUT_OFF if self.is_cut_off else "")))

    @property
    def subtitle(self) -> Text:
        """The same, coloured. The mark comes first: a narrow terminal cuts the end."""
        mark = Text(CUT_OFF if self.is_cut_off else "", "yellow")
        return Text(", ").join(part for part in (mark, Text(self.pace, "dim")) if part)


@dataclass
class Comparison:
    """The sides of one prompt, in the order the models were named."""

    sides: list[Side]
    first_token_s: float | None = None
    titles: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        panels = [self._panel(i, side) for i, side in enumerate(self.sides)]
        if options.max_width < NARROWEST_SIDE * len(panels):
            yield from panels
            return
        grid = Table.grid(expand=True, padding=(0, 1, 0, 0), pad_edge=False)
        for _ in panels:
            grid.add_column(ratio=1)
        grid.add_row(*panels)
        yield grid

    def _panel(self, index: int, side: Side) -> Panel:
        text = Text(output.plain(side.answer).strip())
        if side.error:
            text.append(f"\n{output.plain(side.error)}".lstrip(), "red")
        title = self.titles[index] if self.titles else side.model
        return Panel(
            text,
            title=Text(output.plain(title), "bold", overflow="ellipsis"),
            title_align="left",
            subtitle=side.subtitle,
            subtitle_align="left",
            border_style="red" if side.error else "cyan" if index else "dim",
            padding=(0, 1),
        )


def compare(
    client: Client, models: Sequence[str], histories: Sequence[list[Message]], sampling: Sampling
) -> Iterator[Comparison]:
    """Ask all models; yield the comparison at once, and again after each received piece."""
    comparison = Comparison([Side(model) for model in models])
    yield comparison
    started = time.monotonic()
    for event in _events(client, models, histories, sampling):
        if "comparison" in event:
            continue  # names the models; deployments say the same
        if "side" not in event:
            raise CommandError(_sentence(event.get("error")))
        comparison.sides[event["side"]].apply(event)
        if comparison.first_token_s is None and event.get("delta"):
            comparison.first_token_s = time.monotonic() - started
        yield comparison


def ask(
    client: Client,
    models: Sequence[str],
    prompt: str,
    sampling: Sampling,
    on_begin: Callable[[Comparison], None],
) -> Comparison:
    """Send one question to all models and wait for their answers, which grow while they stream."""
    messages = [{"role": "user", "content": prompt}]
    pieces = compare(client, models, [messages] * len(models), sampling)
    comparison = next(pieces)
    on_begin(comparison)
    deque(pieces, maxlen=0)
    return comparison


def _events(
    client: Client, models: Sequence[str], histories: Sequence[list[Message]], sampling: Sampling
) -> Iterator[dict[str, Any]]:
    """The events of one comparison, or of one chat for each model if their conversations differ."""
    if len(models) > 1 and all(history == histories[0] for history in histories):
        body = {"models": list(models), "messages": histories[0], **sampling}
        return _pieces(client, "/v1/comparisons", body)
    return _merged(
        [
            _chat(client, side, {"model": model, "messages": history, **sampling})
            for side, (model, history) in enumerate(zip(models, histories, strict=True))
        ]
    )


def _pieces(client: Client, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for event in client.events("POST", path, body):
        if event.data == "[DONE]":
            return
        yield json.loads(event.data)
    raise CommandError("The answer broke off: its stream ended without [DONE].")


def _chat(client: Client, side: int, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One model's chat, as the events of one side of a comparison."""
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    started, first_at, usage, finish_reason = time.monotonic(), None, None, None
    try:
        for piece in _pieces(client, "/v1/chat/completions", body):
            if "error" in piece:
                yield {"side": side, "error": piece["error"]}
                return
            usage = piece.get("usage") or usage
            choices = piece.get("choices")
            finish_reason = (choices and choices[0].get("finish_reason")) or finish_reason
            if delta := choices and choices[0]["delta"].get("content"):
                first_at = first_at or time.monotonic()
                yield {"side": side, "delta": delta}
    except CommandError as error:
        yield {"side": side, "error": {"message": error.message}}
        return
    end = {"finish_reason": finish_reason, "usage": usage, **_pace(started, first_at, usage)}
    yield {"side": side, "done": True, **end}


def _pace(started: float, first_at: float | None, usage: dict[str, Any] | None) -> dict[str, Any]:
    if first_at is None or not usage:
        return {}
    spent_s = max(1e-6, time.monotonic() - first_at)
    return {
        "first_token_s": first_at - started,
        "tokens_per_s": usage["completion_tokens"] / spent_s,
    }


def _merged(streams: Sequence[Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Read all streams at once, so that a slow side never delays another."""
    arrived: Queue[dict[str, Any] | None] = Queue()

    def drain(stream: Iterator[dict[str, Any]]) -> None:
        try:
            for event in stream:
                arrived.put(event)
        finally:
            arrived.put(None)

    for stream in streams:
        Thread(target=drain, args=(stream,), daemon=True).start()
    open_streams = len(streams)
    while open_streams:
        event = arrived.get()
        if event is None:
            open_streams -= 1
        else:
            yield event


def _sentence(error: Any) -> str:
    if isinstance(error, dict):
        return reason(error) or str(error)
    return str(error or "The stream held an event that names no side.")
