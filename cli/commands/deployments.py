"""`oddsmith deployments`: what is served, and whether it answers as it was trained.

`oddsmith models deploy` and `undeploy` change what is served.
"""

from typing import Annotated, Any

import typer
from rich.text import Text

from cli.client.http import connect, segment
from cli.client.operations import reason
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json

app = output.noun("List deployments, and show their certificates.")

HOW = {
    "prompt": "",
    "escaped": ", the one with escaped special strings",
    "thinking_on": ", with thinking switched on",
    "thinking_off": ", with thinking switched off",
}


@output.command(app, "list")
def list_deployments(as_json: Json = False) -> None:
    """List what is served, starting or failed."""
    found = connect().items("/v1/deployments")
    if as_json:
        output.emit(found)
        return
    output.table(
        ["id", "model", "status", "ids"],
        [
            [d["id"], d["model"], output.status(d["status"]), said(_ids(d.get("parity")))]
            for d in found
        ],
        "Nothing is deployed. Deploy a model with: oddsmith models deploy ID",
    )


@output.command(app, "show")
def show(
    deployment_id: Annotated[
        str, typer.Argument(help="The deployment's id, or its model's.", metavar="ID")
    ],
    as_json: Json = False,
) -> None:
    """Show a deployment, its certificate, and the first tokens that differ, if some do."""
    deployment = _find(deployment_id)
    if as_json:
        output.emit(deployment)
        return
    certificate = deployment.get("parity") or {}
    engine = deployment.get("engine") or {}
    output.details(
        [
            ("id", deployment["id"]),
            ("model", deployment["model"]),
            ("base", deployment["base_model"]),
            ("status", output.status(deployment["status"])),
            ("error", reason(deployment.get("error")) or None),
            ("device", engine.get("device")),
            ("token ids", said(certificate.get("token_ids_equal"))),
            ("with thinking on and off", said(certificate.get("thinking_ids_equal"))),
            ("with tools", said(certificate.get("tools_ids_equal"))),
            ("largest log-prob difference", certificate.get("max_logprob_diff")),
            ("weights sha256", certificate.get("weights_sha256")),
        ]
    )
    if difference := certificate.get("difference"):
        _show_difference(difference)


def _find(name: str) -> dict[str, Any]:
    client = connect()
    if name.startswith("deploy-"):
        return client.get(f"/v1/deployments/{segment(name)}")
    of_model = [d for d in client.items("/v1/deployments") if d["model"] == name]
    if not of_model:
        raise CommandError(f"{name} is not deployed.", ExitCode.REFUSED)
    return of_model[0]


def _ids(certificate: dict[str, Any] | None) -> bool | None:
    return None if certificate is None else certificate["token_ids_equal"]


def said(is_equal: bool | None) -> str | None:
    """Whether two things are equal, in words; None where they were not compared."""
    return None if is_equal is None else "equal" if is_equal else "NOT equal"


def _show_difference(difference: dict[str, Any]) -> None:
    at, start = difference["at"], difference["start"]
    how = HOW.get(difference["of"], "")
    output.say("")
    output.say(f"They differ from position {at} of prompt {difference['prompt']}{how}:")
    sides = [difference["trainer"], difference["engine"]]
    rows = []
    for offset in range(max(map(len, sides))):
        pair = [side[offset] if offset < len(side) else None for side in sides]
        mark = ">" if start + offset >= at and pair[0] != pair[1] else ""
        rows.append([mark, f"{start + offset}", *(_token(token, mark) for token in pair)])
    output.table(["", "position", "trainer", "engine"], rows, "Neither side has a token there.")


def _token(token: dict[str, Any] | None, mark: str) -> Text | str:
    """A token's id and its text, quoted, because spaces and line ends count."""
    if token is None:
        return "(the end)"
    text = f"{token['id']} {output.plain(repr(token['text']))}"
    return Text(text, style="bold") if mark else text
