"""`oddsmith webhooks`: add, list and delete webhooks, and read what was sent to each."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client.http import connect, segment
from cli.view import output
from cli.view.output import Json

app = output.noun("Post to an address when a job or an evaluation has ended.")

WebhookId = Annotated[str, typer.Argument(help="The webhook's id, whe-…", metavar="ID")]


class Event(StrEnum):
    JOB_SUCCEEDED = "fine_tuning.job.succeeded"
    JOB_FAILED = "fine_tuning.job.failed"
    JOB_CANCELLED = "fine_tuning.job.cancelled"
    EVALUATION_SUCCEEDED = "eval.run.succeeded"
    EVALUATION_FAILED = "eval.run.failed"
    EVALUATION_CANCELED = "eval.run.canceled"


@output.command(app, "add")
def add(
    url: Annotated[str, typer.Argument(help="Where events are posted.")],
    *,
    name: Annotated[str | None, typer.Option(help="The url's host if left out.")] = None,
    event: Annotated[
        list[Event] | None,
        typer.Option(help="What to send; repeat for several. By default: all events."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a webhook and print its signing secret, this once."""
    host = url.partition("://")[2].partition("/")[0] or url
    body = {"url": url, "name": name or host, "event_types": list(event or Event)}
    webhook = connect().post("/v1/webhooks", body)
    if as_json:
        output.emit(webhook)
        return
    output.say(webhook["signing_secret"])
    output.say(f"Keep it safe: it is the signing secret of {webhook['id']}, which is not stored.")


@output.command(app, "list")
def list_webhooks(as_json: Json = False) -> None:
    """List the webhooks, without their signing secrets."""
    found = connect().items("/v1/webhooks")
    if as_json:
        output.emit(found)
        return
    output.table(
        ["id", "name", "url", "events", "state"],
        [[w["id"], w["name"], w["url"], ", ".join(w["event_types"]), _state(w)] for w in found],
        "There are no webhooks yet. Add one with: oddsmith webhooks add URL",
    )


def _state(webhook: dict[str, Any]) -> str:
    return "off: its receiver answered 410" if webhook["disabled_at"] else "on"


@output.command(app, "delete")
def delete(webhook_id: WebhookId, as_json: Json = False) -> None:
    """Delete a webhook with its log."""
    deleted = connect().delete(f"/v1/webhooks/{segment(webhook_id)}")
    output.emit_or_say(deleted, as_json, f"Deleted {webhook_id}.")


@output.command(app, "deliveries")
def deliveries(
    webhook_id: WebhookId,
    *,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List what was sent to a webhook, and what waits to be sent."""
    found = connect().items(_log(webhook_id), limit=limit)
    if as_json:
        output.emit(found)
        return
    output.table(
        ["id", "at", "event", "of", "status", "attempts", "answer", "next"],
        [
            [
                each["id"],
                output.when(each["created_at"]),
                each["event_type"],
                each["object_id"],
                each["status"],
                each["attempts"],
                each["last_status_code"] or each["last_error"],
                each["next_attempt_at"] and output.when(each["next_attempt_at"]),
            ]
            for each in found
        ],
        "Nothing was sent to it yet.",
    )


@output.command(app, "retry")
def retry(
    webhook_id: WebhookId,
    delivery_id: Annotated[str, typer.Argument(help="The delivery's id, whdel-…")],
    as_json: Json = False,
) -> None:
    """Send an event again now, whether it was delivered or not."""
    sent = connect().post(f"{_log(webhook_id)}/{segment(delivery_id)}/retry", {})
    output.emit_or_say(sent, as_json, f"{delivery_id} is sent again.")


def _log(webhook_id: str) -> str:
    return f"/v1/webhooks/{segment(webhook_id)}/deliveries"
