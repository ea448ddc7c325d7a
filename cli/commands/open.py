"""`oddsmith open`: a link that signs one browser in to the page of a running stack."""

import typer

from cli.client.http import Client, connect
from cli.view import output
from cli.view.output import Json

app = typer.Typer()


@output.command(app, "open")
def open_page(as_json: Json = False) -> None:
    """Print a link to the page that signs one browser in."""
    client = connect()
    url = link(client)
    output.emit_or_say({"url": url}, as_json, url)


def link(client: Client) -> str:
    """A link, valid for half an hour, that signs in the first browser that opens it."""
    return client.url + client.post("/v1/session/links")["path"]
