"""Personal data and secrets are masked in previews of rows, until the caller asks for them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.files.masking import mask
from services.platform.sizes import ANSWER_BYTES

EMAIL, KEY = "jane.doe@kestrel-mail.net", "sk-ant-" + "a1" * 20
ROWS = [
    {"prompt": f"Who is {EMAIL}?", "chosen": f"Use {KEY}.", "rejected": "No."},
    {"prompt": "Where?", "chosen": "Here.", "rejected": "There."},
    {"prompt": "How?", "chosen": "Call +1 415 555 2671.", "rejected": "Not bob@example.com."},
    {"prompt": f"Ask {EMAIL}.", "chosen": "same", "rejected": "same"},
    {"text": "Nothing to hide."},
]


@pytest.fixture
def path(client: TestClient, work: Callable[[], None]) -> str:
    content = "".join(json.dumps(row) + "\n" for row in ROWS)
    form = {"files": {"file": ("a.jsonl", content)}, "data": {"purpose": "fine-tune"}}
    file_id = client.post("/v1/files", **form).raise_for_status().json()["id"]
    work()
    return f"/v1/files/{file_id}"


def texts(row: Any) -> list[str]:
    return [row[side][0]["content"] for side in ("prompt", "chosen", "rejected")]


def test_rows_are_masked_until_their_owner_asks(client: TestClient, path: str) -> None:
    hidden = ["Who is [email]?", "Use [api_key].", "No."]
    for query in ({"finding": "email"}, {"search": "who is"}, {"offset": 0, "limit": 1}):
        (row,) = client.get(f"{path}/rows", params=query).json()["data"]
        assert (texts(row), row["masked"]) == (hidden, True)
    (row,) = client.get(f"{path}/rows?finding=email&unmask=true").json()["data"]
    assert (texts(row), row["masked"]) == ([*ROWS[0].values()], False)
    _, plain, call = client.get(f"{path}/rows?unmask=false").json()["data"]
    assert (texts(plain), plain["masked"]) == ([*ROWS[1].values()], False)
    assert texts(call) == ["How?", "Call [phone_number].", "Not bob@example.com."]


def test_dropped_rows_are_masked_too(client: TestClient, path: str) -> None:
    masked, plain = client.get(f"{path}/dropped").json()["data"]
    assert json.loads(masked["text"])["prompt"] == "Ask [email]."
    assert [row["masked"] for row in (masked, plain)] == [True, False]
    shown = client.get(f"{path}/dropped?unmask=true").json()["data"]
    assert json.loads(shown[0]["text"]) == ROWS[3]
    assert not any(row["masked"] for row in shown)


def test_previews_of_recipes_are_masked_too(client: TestClient, path: str) -> None:
    recipe = {"recipe": [{"step": "drop_rows", "lines": [1]}]}
    preview = f"{path}/versions/preview"
    (step,) = client.post(preview, json=recipe).json()["steps"]
    assert texts(step["changed"][0]["before"]) == ["Who is [email]?", "Use [api_key].", "No."]
    (step,) = client.post(f"{preview}?unmask=true", json=recipe).json()["steps"]
    assert texts(step["changed"][0]["before"]) == [*ROWS[0].values()]


@pytest.mark.parametrize("noun", ["rows", "dropped", "overlaps"])
@pytest.mark.parametrize("value", ["1", "yes", "True", ""])
def test_other_spellings_of_true_are_refused(
    client: TestClient, product: None, noun: str, value: str
) -> None:
    answer = client.get(f"/v1/files/file-1/{noun}?against=file-2&unmask={value}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "unmask")


def test_texts_at_any_depth_are_masked_and_roles_are_not() -> None:
    arguments = {"to": EMAIL, "n": [1, None, f"cc {EMAIL}"]}
    call = {"type": "function", "function": {"name": "send", "arguments": arguments}}
    row = {
        "line": 4155552671,
        "chosen": [{"role": "assistant", "content": "", "tool_calls": [call]}],
    }
    expected = json.loads(json.dumps(row).replace(EMAIL, "[email]"))
    assert mask(row) == expected


def test_a_text_that_no_answer_holds_is_cut_and_then_masked() -> None:
    found = mask(f"{EMAIL} " * 100_000)
    assert found.startswith("[email] [email] ")
    assert found.endswith(" more characters]")
    assert len(found) < ANSWER_BYTES
    assert "jane.doe" not in found[: found.rindex("…") - len(EMAIL)]
