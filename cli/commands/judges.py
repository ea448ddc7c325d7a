"""`oddsmith judges`: add, list, read and delete judges, and measure how often they agree with
people.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client.http import Client, connect, segment
from cli.commands import evaluations
from cli.commands.uploads import Purpose, is_id, refuse_unreadable, uploaded_id
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json

app = output.noun("Add judges, and measure how often they agree with people.")

JudgeId = Annotated[str, typer.Argument(help="The judge's id, judge-…", metavar="ID")]
LABELS = {"llmbar": "LLMBar", "pandalm": "PandaLM", "votes": "your votes"}
COIN = 0.5


@output.command(app, "add")
def add(
    model: Annotated[str, typer.Argument(help="A model of yours, or its name at --base-url.")],
    *,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible address, https://…/v1")
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="The name of the operator's key to --base-url.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name if left out.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 if left out.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest tokens of this total share.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of a reply, thoughts included; 1024 if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a judge: a model at --base-url, a model of yours that is deployed, or a reward model."""
    client = connect()
    given = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    sampling = {key: value for key, value in given.items() if value is not None}
    body = {"kind": _kind(client, model, base_url), "model": model, "name": name}
    body |= {"base_url": base_url, "secret": secret, "sampling": sampling or None}
    judge = client.post("/v1/judges", body)
    output.emit_or_say(judge, as_json, f"{judge['id']}  {judge['kind']}  {judge['name']}")
    if not as_json:
        output.say(f"Measure it: oddsmith judges agreement {judge['id']} --votes")


def _kind(client: Client, model: str, base_url: str | None) -> str:
    """The kind of a judge, which its address or its model says."""
    if base_url is not None:
        return "openai"
    use = client.get(f"/v1/models/{segment(model)}").get("use")
    return "reward" if use == "judge" else "deployment"


@output.command(app, "list")
def list_judges(as_json: Json = False) -> None:
    """List the judges, newest first, with the share of people's choices that each shares."""
    found = connect().items("/v1/judges")
    if as_json:
        output.emit(found)
        return
    output.table(
        ["id", "kind", "name", *LABELS.values()],
        [
            [judge["id"], judge["kind"], judge["name"], *map(_cell, _agreements(judge))]
            for judge in found
        ],
        "There are no judges yet. Add one with: oddsmith judges add MODEL --base-url URL",
    )


def _agreements(judge: dict[str, Any]) -> list[dict[str, Any] | None]:
    return [judge["agreement"].get(labels) for labels in LABELS]


def _cell(found: dict[str, Any] | None) -> str:
    if not found or not found.get("average"):
        return ""
    mark = " (worse than a coin)" if found.get("worse_than_a_coin") else ""
    return f"{found['average']['value']:.0%}{mark}"


@output.command(app, "show")
def show(judge_id: JudgeId, as_json: Json = False) -> None:
    """Show a judge and its agreement with people."""
    judge = connect().get(f"/v1/judges/{segment(judge_id)}")
    if as_json:
        output.emit(judge)
    else:
        _show(judge)


def _show(judge: dict[str, Any]) -> None:
    output.details(
        [
            ("judge", judge["id"]),
            ("name", judge["name"]),
            ("kind", judge["kind"]),
            ("model", judge["model"]),
            ("base_url", judge["base_url"]),
            ("secret", judge["secret"]),
            *judge["sampling"].items(),
            ("added", output.when(judge["created_at"])),
        ]
    )
    output.say("")
    rows = [_row(labels, found) for labels, found in judge["agreement"].items()]
    output.table(
        ["people", "pairs", "agrees", "both orders", "same answer", "where decided", "no verdict"],
        rows,
        "Its agreement with people was not measured yet: oddsmith judges agreement "
        f"{judge['id']} --votes",
    )
    for sentence in _findings(judge):
        output.paragraph(sentence)


def _row(labels: str, found: dict[str, Any]) -> list[Any]:
    shares = (found.get(name) for name in ("average", "both", "equal", "decided"))
    counts = found.get("n"), found.get("unparsed")
    return [LABELS.get(labels, labels), counts[0], *map(_share, shares), counts[1]]


def _share(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    low, high = found.get("low"), found.get("high")
    interval = "" if low is None or high is None else f" ({100 * low:.0f}-{100 * high:.0f})"
    return f"{found['value']:.1%}{interval}"


def _findings(judge: dict[str, Any]) -> Iterator[str]:
    for labels, found in judge["agreement"].items():
        people, decided = LABELS.get(labels, labels), found.get("decided") or {}
        low, high = decided.get("low"), decided.get("high")
        if found.get("worse_than_a_coin"):
            yield (
                f"Worse than a coin on {people}: it names the answer that people do not prefer. "
                "Its win rates mean nothing."
            )
        elif low is not None and high is not None and low <= COIN <= high:
            yield f"On {people} it can't be told from a coin. More pairs would show more."


@output.command(app, "delete")
def delete(judge_id: JudgeId, as_json: Json = False) -> None:
    """Delete a judge that no running evaluation needs. Evaluations keep what it said."""
    deleted = connect().delete(f"/v1/judges/{segment(judge_id)}")
    output.emit_or_say(deleted, as_json, f"Deleted {judge_id}.")


@output.command(app, "agreement")
def agreement(
    judge_id: JudgeId,
    *,
    votes: Annotated[bool, typer.Option("--votes", help="Compare with your own votes.")] = False,
    llmbar: Annotated[
        str | None, typer.Option(help="A file of LLMBar: its id, or a path to upload.")
    ] = None,
    pandalm: Annotated[
        str | None, typer.Option(help="A file of PandaLM: its id, or a path to upload.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Draw so many of the pairs.")] = None,
    as_json: Json = False,
) -> None:
    """Measure how often a judge agrees with people, and print it. Ctrl-C leaves it running."""
    chosen = {"llmbar": llmbar, "pandalm": pandalm, "votes": "" if votes else None}
    given = [(labels, data) for labels, data in chosen.items() if data is not None]
    if len(given) != 1:
        raise CommandError("Name one of --votes, --llmbar and --pandalm.", ExitCode.USAGE)
    ((labels, data),) = given
    client = connect()
    path = f"/v1/judges/{segment(judge_id)}"
    body = {"labels": labels, "limit": limit}
    if data and is_id(data):
        body["data"] = data
    elif data:
        refuse_unreadable(Path(data))
        client.get(path)  # a judge that isn't there is refused before anything is uploaded
        body["data"] = uploaded_id(client, Path(data), as_json, Purpose.PROMPTS)
    evaluation = client.post(f"{path}/agreement", body)
    evaluations.succeeded(client, evaluation["id"], as_json)
    judge = client.get(path)
    if as_json:
        output.emit(judge)
    else:
        _show(judge)
