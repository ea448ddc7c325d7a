"""`oddsmith chat` against a fake API: two sides, histories, and escaped text."""

import json
from collections.abc import Iterator

import pytest
from rich.console import Console

from cli.client.answers import Comparison, Side
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi, Request, Stream, answer_frames, frame

COMPARE = "POST /v1/comparisons"
CHAT = "POST /v1/chat/completions"


def chunk(text: str) -> bytes:
    return frame({"choices": [{"delta": {"content": text}}], "usage": None})


def chat_stream(request: Request) -> Stream:
    usage = {"choices": [], "usage": {"completion_tokens": 2}}
    return Stream(
        iter([chunk("I am "), chunk(request.json["model"]), frame(usage), frame("[DONE]")])
    )


def test_two_models_answer_one_prompt(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(COMPARE, lambda _: Stream(answer_frames(["one two", "three"], 0)))
    result = oddsmith("chat", "a", "b", "--prompt", "Who?", "--temperature", "0", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [side["answer"] for side in found["answers"]] == ["one two", "three"]
    assert found["answers"][0]["tokens_per_s"] == 31.0
    assert api.requests[0].json == {
        "models": ["a", "b"],
        "messages": [{"role": "user", "content": "Who?"}],
        "temperature": 0.0,
        "max_tokens": 256,
    }


def test_what_a_model_says_is_shown_as_plain_text(api: FakeApi, oddsmith: Oddsmith) -> None:
    hostile = "[bold]x[/bold] \x1b]0;owned\x07\x1b[2J\x1b[31mred"
    api.on(COMPARE, lambda _: Stream(answer_frames([hostile, "fine"], 0)))
    shown = oddsmith("chat", "a", "b", "--prompt", "Who?").stdout
    assert "[bold]x[/bold] red\n" in shown
    assert "\x1b" not in shown
    assert "owned" not in shown


def test_a_side_that_dies_leaves_the_other_alone(api: FakeApi, oddsmith: Oddsmith) -> None:
    frames = [
        frame({"side": 1, "model": "b", "delta": "fine"}),
        frame({"side": 0, "error": {"message": "The engine has ended."}}),
        frame({"side": 1, "done": True, "usage": {}}),
        frame("[DONE]"),
    ]
    api.on(COMPARE, lambda _: Stream(iter(frames)))
    result = oddsmith("chat", "a", "b", "--prompt", "Who?")
    assert result.exit_code == 1
    assert result.stdout == "== a\nThe engine has ended.\n== b\nfine\n"


def test_each_side_keeps_its_own_history(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(COMPARE, lambda _: Stream(answer_frames(["from a", "from b"], 0)))
    api.on(CHAT, chat_stream)
    result = oddsmith("chat", "a", "b", "--system", "Be brief.", stdin="one\n\ntwo\n/new\nthree\n")
    assert result.exit_code == 0
    second = {r.json["model"]: r.json["messages"] for r in api.sent("POST", "/v1/chat/completions")}
    assert [m["content"] for m in second["a"]] == ["Be brief.", "one", "from a", "two"]
    assert [m["content"] for m in second["b"]] == ["Be brief.", "one", "from b", "two"]
    last = api.sent("POST", "/v1/comparisons")[-1].json["messages"]
    assert [m["content"] for m in last] == ["Be brief.", "three"]


def cut_off_frames() -> Iterator[bytes]:
    """Side 0 is cut off at its most tokens; side 1 ends by itself."""
    sides = [("Half an ans", "length"), ("A whole answer.", "stop")]
    for side, (text, why) in enumerate(sides):
        end = {"side": side, "done": True, "finish_reason": why, "usage": {"completion_tokens": 9}}
        yield frame({"side": side, "delta": text})
        yield frame({**end, "first_token_s": 0.5, "tokens_per_s": 20.0})
    yield frame("[DONE]")


def test_an_answer_that_was_cut_off_is_marked(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(COMPARE, lambda _: Stream(cut_off_frames()))
    shown = oddsmith("chat", "a", "b", "--prompt", "Who?")
    pace = "first token 0.50 s, 20 tokens/s"
    assert shown.stdout == (
        f"== a  {pace}, cut off at max tokens\nHalf an ans\n== b  {pace}\nA whole answer.\n"
    )
    found = json.loads(oddsmith("chat", "a", "b", "--prompt", "Who?", "--json").stdout)
    assert [side["finish_reason"] for side in found["answers"]] == ["length", "stop"]


def test_on_a_terminal_the_mark_is_under_the_answer() -> None:
    cut, whole = Side("a", "Half an ans"), Side("b", "A whole answer.")
    cut.apply({"side": 0, "done": True, "finish_reason": "length"})
    whole.apply({"side": 1, "done": True, "finish_reason": "stop"})
    console = Console(width=90)
    with console.capture() as shown:
        console.print(Comparison([cut, whole]))
    *_, below = shown.get().rstrip().splitlines()
    assert below.count("cut off at max tokens") == 1
    assert below.index("cut off at max tokens") < 45


@pytest.mark.parametrize(("why", "n_marks"), [("length", 1), ("stop", 0)])
def test_one_model_s_answer_is_marked_too(
    api: FakeApi, oddsmith: Oddsmith, why: str, n_marks: int
) -> None:
    end = frame({"choices": [{"delta": {}, "finish_reason": why}], "usage": None})
    usage = frame({"choices": [], "usage": {"completion_tokens": 2}})
    api.on(CHAT, lambda _: Stream(iter([chunk("Half"), end, usage, frame("[DONE]")])))
    shown = oddsmith("chat", "a", "--prompt", "Who?", "--top-p", "0.8")
    assert shown.stdout.count("cut off at max tokens") == n_marks
    assert api.requests[0].json["top_p"] == 0.8


def test_one_model_alone(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(CHAT, chat_stream)
    result = oddsmith("chat", "a", "--prompt", "Who?", "--seed", "1")
    assert result.stdout.splitlines()[1] == "I am a"
    assert api.requests[0].json["seed"] == 1


def test_a_stream_without_an_end_is_an_error(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(CHAT, lambda _: Stream(iter([chunk("half an ans")])))
    result = oddsmith("chat", "a", "--prompt", "Who?")
    assert result.exit_code == 1
    assert "The answer broke off" in result.stdout
    api.on(CHAT, lambda _: Stream(iter([chunk("x"), frame({"error": {"message": "Lost it."}})])))
    assert "Lost it." in oddsmith("chat", "a", "--prompt", "Who?").stdout


def test_a_model_that_is_not_deployed_is_refused(api: FakeApi, oddsmith: Oddsmith) -> None:
    result = oddsmith("chat", "a", "b", "--prompt", "Who?")
    assert (result.exit_code, result.stderr) == (4, "error: There is no /v1/comparisons.\n")
