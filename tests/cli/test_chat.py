"""`oddsmith chat` against a fake API: two sides, histories, and escaped text."""

import json

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
