"""`oddsmith suites`: what a model can be evaluated on."""

import typer

from cli.client.http import connect
from cli.view import output
from cli.view.output import Json

app = typer.Typer()

NEEDS = {"yes": "needed", "optional": "optional", "no": ""}


@output.command(app, "suites")
def suites(as_json: Json = False) -> None:
    """List the suites, and what each needs."""
    found = connect().items("/v1/suites")
    if as_json:
        output.emit(found)
        return
    output.table(
        ["suite", "baseline", "judge", "what it measures"],
        [
            [suite["id"], NEEDS[suite["baseline"]], NEEDS[suite["judge"]], suite["measures"]]
            for suite in found
        ],
        "There are no suites.",
    )
