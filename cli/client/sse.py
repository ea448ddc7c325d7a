"""Server-sent events: parses a byte stream, and follows a stream across broken connections.

Knows nothing of what the events mean.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cli.view.output import CommandError, ExitCode

# A connection that lasted this long counts as good, even without any event.
STEADY_S = 10


@dataclass(frozen=True)
class ServerEvent:
    name: str
    data: str
    id: str | None = None


class Source(Protocol):
    """Where streams come from, such as a client of the API."""

    def events(
        self, method: str, path: str, *, last_event_id: str | None = None
    ) -> Iterator[ServerEvent]:
        """Open a stream; continue after the event `last_event_id`."""
        ...


def parse(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Yield each complete event; an incomplete last one is dropped, as the standard says."""
    name, data, event_id = "message", [], None
    for line in _lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield ServerEvent(name, "\n".join(data), event_id)
            name, data = "message", []
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            event_id = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Split at line feeds only: str.splitlines would also split JSON at U+2028 or U+0085."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")


def follow(
    connect: Callable[[], Source], path: str, last_name: str, patience_s: float = 120
) -> Iterator[ServerEvent]:
    """Yield a stream's events up to the one named `last_name`; reconnect after each break.

    Calls `connect` each time, because a restarted stack may have another port. Gives up if nothing
    new arrived for `patience_s`, even if connecting succeeds.
    """
    last_id, pause_s, news_at = None, 0.5, time.monotonic()
    while True:
        began_at = time.monotonic()
        try:
            for event in connect().events("GET", path, last_event_id=last_id):
                _raise_if_error(event)
                if event.id != last_id:
                    last_id, pause_s, news_at = event.id, 0.5, time.monotonic()
                yield event
                if event.name == last_name:
                    return
        except CommandError as error:
            if time.monotonic() - began_at > STEADY_S:
                news_at = time.monotonic()
            if error.code != ExitCode.UNREACHABLE or time.monotonic() - news_at > patience_s:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 5)


def _raise_if_error(event: ServerEvent) -> None:
    """An event without a name reports an error of the API; a retry may help."""
    if event.name == "message":
        raise CommandError(f"The stream broke off: {event.data}", ExitCode.UNREACHABLE)
