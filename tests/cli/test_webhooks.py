"""`oddsmith webhooks` against a fake API."""

import json
from typing import Any

from cli.commands.webhooks import Event
from services.webhooks.events import EventType
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi, listed

PATH = "/v1/webhooks/whe-1"
WEBHOOK: dict[str, Any] = {
    "id": "whe-1",
    "created_at": 1764000000,
    "name": "ours",
    "url": "https://host/hooks",
    "event_types": ["fine_tuning.job.failed"],
    "signing_secret_hint": "whsec_…abc=",
    "disabled_at": None,
}
DELIVERY: dict[str, Any] = {
    "id": "whdel-1",
    "created_at": 1764000000,
    "webhook_id": "whe-1",
    "event_id": "evt-1",
    "event_type": "fine_tuning.job.failed",
    "object_id": "ftjob-1",
    "status": "pending",
    "attempts": 2,
    "next_attempt_at": 1764000020,
    "delivered_at": None,
    "last_status_code": 503,
    "last_error": "The receiver answered with HTTP 503.",
}


def test_it_knows_the_events_of_the_api() -> None:
    assert list(map(str, Event)) == list(map(str, EventType))


def test_a_webhook_is_added_and_its_secret_printed(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/webhooks", WEBHOOK | {"signing_secret": "whsec_abc="})
    shown = oddsmith("webhooks", "add", "https://host/hooks", "--event", "eval.run.failed")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.splitlines()[0] == "whsec_abc="
    assert "whe-1" in shown.stdout
    oddsmith("webhooks", "add", "https://host/hooks", "--name", "ours", "--json")
    first, second = api.sent("POST", "/v1/webhooks")
    expected = {"url": "https://host/hooks", "name": "host", "event_types": ["eval.run.failed"]}
    assert first.json == expected
    assert second.json == {**expected, "name": "ours", "event_types": list(map(str, EventType))}


def test_webhooks_are_listed_and_deleted(api: FakeApi, oddsmith: Oddsmith) -> None:
    off = {**WEBHOOK, "id": "whe-2", "disabled_at": 1764000000}
    api.on("GET /v1/webhooks", listed(WEBHOOK, off))
    lines = oddsmith("webhooks", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "whe-1", "whe-2"]
    assert lines[1].endswith("on")
    assert lines[2].endswith("off: its receiver answered 410")
    api.on("GET /v1/webhooks", listed())
    assert "oddsmith webhooks add URL" in oddsmith("webhooks", "list").stdout
    api.on(f"DELETE {PATH}", {"id": "whe-1", "deleted": True})
    assert "Deleted whe-1." in oddsmith("webhooks", "delete", "whe-1").stdout


def test_deliveries_are_listed_and_sent_again(api: FakeApi, oddsmith: Oddsmith) -> None:
    unsent = {"id": "whdel-2", "last_status_code": None, "last_error": "It did not answer."}
    api.on(f"GET {PATH}/deliveries", listed(DELIVERY, {**DELIVERY, **unsent}))
    lines = oddsmith("webhooks", "deliveries", "whe-1").stdout.splitlines()
    assert "fine_tuning.job.failed" in lines[1]
    assert " 503 " in lines[1]
    assert "It did not answer." in lines[2]
    shown = oddsmith("webhooks", "deliveries", "whe-1", "--json").stdout
    assert json.loads(shown)[0] == DELIVERY
    api.on(f"POST {PATH}/deliveries/whdel-1/retry", DELIVERY)
    assert "whdel-1 is sent again." in oddsmith("webhooks", "retry", "whe-1", "whdel-1").stdout
    assert len(api.sent("POST", f"{PATH}/deliveries/whdel-1/retry")) == 1
