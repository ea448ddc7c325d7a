"""`oddsmith audit`: who did what to which object, and when."""

from typing import Annotated

import typer

from cli.client.http import connect
from cli.view import output
from cli.view.output import Json

app = typer.Typer()


@output.command(app, "audit")
def audit(
    object_id: Annotated[
        str | None,
        typer.Argument(help="Only entries about this object, such as file-…", metavar="ID"),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many entries, the newest first.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List what was created, deleted, deployed, exported or revoked. Needs the scope admin."""
    entries = connect().items("/v1/audit_log", limit=limit, object_id=object_id)
    if as_json:
        output.emit(entries)
        return
    output.table(
        ["at", "key", "action", "object", "request"],
        [
            [
                output.when(e["at"]),
                e["api_key_id"] or "server",
                f"{e['action']} {e['object_type']}",
                e["object_id"],
                e["request_id"],
            ]
            for e in entries
        ],
        "There are no entries.",
    )
