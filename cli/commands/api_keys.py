"""`oddsmith keys`: make, list and delete API keys. A key's text is shown once, when it is made.

`oddsmith votes link` makes the keys of raters, which are listed and deleted here.
"""

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client.http import connect, segment
from cli.view import output
from cli.view.output import Json

app = output.noun("Make, list and delete API keys.")


class Scope(StrEnum):
    READ = "read"
    CHAT = "chat"
    WRITE = "write"
    ADMIN = "admin"


@output.command(app, "create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="What it may do; repeat for several. By default: write, with read and chat."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once."""
    scopes = list(scope or [Scope.WRITE])
    key = connect().post("/v1/api_keys", {"name": name, "scopes": scopes})
    if as_json:
        output.emit(key)
        return
    output.say(key["key"])
    output.say("Keep it safe: it is stored hashed and can't be shown again.")


@output.command(app, "list")
def list_keys(as_json: Json = False) -> None:
    """List the keys, without their text."""
    keys = connect().items("/v1/api_keys")
    if as_json:
        output.emit(keys)
        return
    output.table(
        ["id", "name", "key", "scopes", "votes", "created"],
        [
            [
                k["id"],
                k["name"],
                k.get("hint"),
                _may(k),
                k.get("votes") or "",
                output.when(k["created_at"]),
            ]
            for k in keys
        ],
        "There are no keys.",
    )


def _may(key: dict[str, Any]) -> str:
    """What a key may do; of a rater's key, also on which evaluation."""
    scopes = ", ".join(key["scopes"])
    evaluation = key.get("evaluation_id")
    return f"{scopes} on {evaluation}" if evaluation else scopes


@output.command(app, "delete")
def delete(
    key_id: Annotated[str, typer.Argument(help="The key's id.", metavar="ID")],
    as_json: Json = False,
) -> None:
    """Delete a key: requests with it are refused from now on."""
    deleted = connect().delete(f"/v1/api_keys/{segment(key_id)}")
    output.emit_or_say(deleted, as_json, f"Deleted {key_id}.")
