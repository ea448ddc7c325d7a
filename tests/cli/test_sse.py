"""Event streams: framing, and resuming after a broken connection."""

from collections.abc import Iterator
from typing import Any

import pytest

from cli.client import sse
from cli.client.http import connect
from cli.client.sse import ServerEvent, follow, parse
from cli.view.output import CommandError, ExitCode
from tests.cli.fake_api import FakeApi, Request, Stream, frame

PATH = "/v1/stream"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse.time, "sleep", lambda _s: None)


def test_events_are_framed_by_empty_lines_however_the_bytes_arrive() -> None:
    stream = b": hello\n\nid: 7\nevent: state\ndata: {}\r\n\r\ndata: a\ndata: b\n\ndata: cut"
    expected = [ServerEvent("state", "{}", "7"), ServerEvent("message", "a\nb", "7")]
    assert list(parse([stream])) == expected
    assert list(parse(stream[i : i + 1] for i in range(len(stream)))) == expected


def test_line_separators_inside_json_do_not_cut_it() -> None:
    text = '"a\u2028b\x85c\x0bd"'
    assert [event.data for event in parse([f"data: {text}\n\n".encode()])] == [text]


def test_a_broken_stream_goes_on_after_the_last_event(api: FakeApi) -> None:
    def stream(request: Request) -> Stream:
        seen = int(request.headers.get("last-event-id", 0))
        chunks = [frame({"n": seen + 1}, "state", str(seen + 1))]
        if seen == 2:
            chunks.append(frame({}, "done", "4"))
        return Stream(iter(chunks), cut=seen != 2)

    api.on(f"GET {PATH}", stream)
    events = list(follow(connect, PATH, "done"))
    assert [event.id for event in events] == ["1", "2", "3", "4"]
    assert [r.headers.get("last-event-id") for r in api.requests] == [None, "1", "2"]


def test_a_stream_that_ends_early_is_asked_for_again(api: FakeApi) -> None:
    answers = iter([[frame({}, "state", "1")], [frame({}, "done", "1")]])
    api.on(f"GET {PATH}", lambda _request: Stream(iter(next(answers))))
    assert [event.name for event in follow(connect, PATH, "done")] == ["state", "done"]


def test_an_error_frame_is_no_event_and_ends_the_patience(api: FakeApi) -> None:
    def broken(_request: Request) -> Stream:
        return Stream(iter([frame({}, "state", "1"), frame({"error": {"message": "broke"}})]))

    api.on(f"GET {PATH}", broken)
    seen: list[Any] = []
    with pytest.raises(CommandError, match="broke") as caught:
        seen += follow(connect, PATH, "done", patience_s=0.2)
    assert caught.value.code == ExitCode.UNREACHABLE
    assert len(api.requests) > 1


def test_a_refusal_is_not_tried_again(api: FakeApi) -> None:
    with pytest.raises(CommandError) as caught:
        list(follow(connect, "/v1/nothing", "done"))
    assert caught.value.code == ExitCode.REFUSED
    assert len(api.requests) == 1


def test_a_stack_that_stays_away_ends_the_stream(api: FakeApi) -> None:
    def never() -> Iterator[bytes]:
        yield frame({}, "state", "1")

    api.on(f"GET {PATH}", lambda _request: Stream(never(), cut=True))
    with pytest.raises(CommandError) as caught:
        list(follow(connect, PATH, "done", patience_s=0.2))
    assert caught.value.code == ExitCode.UNREACHABLE
