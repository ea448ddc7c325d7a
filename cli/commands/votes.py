"""`oddsmith votes`: list votes, rank models by them, make a file of pairs of them, and make links
for raters.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.text import Text

from cli.client.http import connect
from cli.view import output, scores
from cli.view.output import Json

app = output.noun("List votes, rank models by them, make files of them, and invite raters.")

EVEN = 0.5
LONGEST = 240  # characters of a question or an answer that are shown
SHARE = "win_rate"  # a metric that is printed as a percentage
OUTCOMES = ("won", "drawn", "lost")
# Hosts that mean the machine itself.
LOOPBACK = ("127.0.0.1", "::1", "localhost")
HOW = "Vote in the playground of the page: oddsmith open"


class Choice(StrEnum):
    A = "a"
    B = "b"
    TIE = "tie"
    BOTH_BAD = "both_bad"


class Reason(StrEnum):
    CORRECT = "correct"
    FOLLOWS = "follows_instructions"
    CLEAR = "clear"
    COMPLETE = "complete"
    SHORT = "short"
    STYLE = "style"
    SAFE = "safe"
    OTHER = "other"


CHOICES = {"a": "A is better", "b": "B is better", "tie": "tie", "both_bad": "both bad"}
# Why votes become no pair, by the name of their count.
LEFT_OUT = {
    "ties": "ties",
    "both_bad": "both bad, without an edited answer",
    "not_a_pair": "asked different things, or answered alike",
    "cut_off": "the better answer was cut off at its maximum of tokens",
    "held_out": "the prompt is held out to evaluate a model that answered it",
    "contradictions": "contradicted by another vote on the same two answers",
    "repeated": "repeat another vote on the same two answers",
}

Model = Annotated[str | None, typer.Option("--model", help="Only votes on answers of this model.")]
Against = Annotated[
    str | None, typer.Option("--against", help="And, beside it, on answers of this model.")
]
Chosen = Annotated[Choice | None, typer.Option("--choice", help="Only votes for this.")]
OfEvaluation = Annotated[
    str | None,
    typer.Option("--evaluation", help="Only blind votes on the answers of this evaluation."),
]
Because = Annotated[Reason | None, typer.Option("--reason", help="Only votes with this reason.")]


@output.command(app, "list")
def list_votes(
    *,
    model: Model = None,
    against: Against = None,
    choice: Chosen = None,
    reason: Because = None,
    evaluation: OfEvaluation = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    full: Annotated[bool, typer.Option("--full", help="Print whole texts.")] = False,
    as_json: Json = False,
) -> None:
    """List votes with the question and both answers, newest first."""
    wanted = _filter(model, against, choice, reason, evaluation)
    found = connect().items("/v1/votes", limit, **wanted)
    if as_json:
        output.emit(found)
        return
    if not found:
        output.say("No vote fits these filters." if wanted else f"There are no votes yet. {HOW}")
    for vote in found:
        _show_vote(vote, None if full else LONGEST)


def _show_vote(vote: dict[str, Any], longest: int | None) -> None:
    when, by = output.when(vote["voted_at"]), vote.get("voter")
    choice = CHOICES[vote["choice"]]
    parts = [vote["id"], when, choice, vote["reason"], f"by {by}" if by else None]
    output.say(Text("  ".join(output.plain(part) for part in parts if part), "bold"))
    output.details([(name, output.short(text, longest)) for name, text in _texts(vote)])
    output.say("")


def _texts(vote: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was asked, both answers, the edit and the note."""
    asked = [side["asked"].get("messages") or [] for side in vote["sides"]]
    for at, messages in enumerate(asked):
        if messages and (at == 0 or messages != asked[0]):
            yield "question", messages[-1].get("content") or ""
    for name, side in zip("AB", vote["sides"], strict=False):
        yield f"{name}: {side['model']}", side["text"] or ""
    if vote["edit"]:
        yield f"{'AB'[vote['edit']['side']]}, edited", vote["edit"]["text"]
    if vote["note"]:
        yield "note", vote["note"]


@output.command(app, "ranking")
def ranking(
    model: Model = None,
    against: Against = None,
    evaluation: OfEvaluation = None,
    as_json: Json = False,
) -> None:
    """Rank the models that people have voted on, with 95 % intervals."""
    wanted = {"model": model, "against": against, "evaluation": evaluation}
    found = connect().get("/v1/votes/ranking", **wanted)
    if as_json:
        output.emit(found)
        return
    enough = found["enough"]
    for group in sorted({each["group"] for each in found["models"]}):
        output.table(
            ["model", "wins", *OUTCOMES, ""],
            [
                [
                    each["model"],
                    scores.measured(SHARE, each["against_average"]),
                    *_outcomes(each),
                    _early(each, enough),
                ]
                for each in found["models"]
                if each["group"] == group
            ],
            "",
            unbroken=["wins"],
        )
        output.say("")
    _show_pairs(found)
    for sentence in _sentences(found):
        output.paragraph(sentence)


def _outcomes(of: dict[str, Any]) -> list[int]:
    return [of["wins"], of["draws"], of["losses"]]


def _early(of: dict[str, Any], enough: int) -> str:
    return f"too early: {sum(_outcomes(of))} of {enough} votes" if of["early"] else ""


def _show_pairs(found: dict[str, Any]) -> None:
    if not found["pairs"]:
        return
    numbers = ["wins", "at equal length"]
    output.table(
        ["model", "against", *numbers, *OUTCOMES, ""],
        [
            [
                pair["model"],
                pair["other"],
                scores.measured(SHARE, pair["win_rate"]),
                scores.measured(SHARE, pair["at_equal_length"]),
                *_outcomes(pair),
                _early(pair, found["enough"]),
            ]
            for pair in found["pairs"]
        ],
        "",
        unbroken=numbers,
    )
    output.say("")


def _sentences(found: dict[str, Any]) -> Iterator[str]:
    """What the numbers say, and what they do not."""
    if not found["votes"]:
        yield f"There are no votes. {HOW}"
        return
    yield (
        f"{found['counted']} of {found['votes']} votes are on two models that were asked the same. "
        "`wins` in the first table: against an average model of the same group."
    )
    if len({each["group"] for each in found["models"]}) > 1:
        yield "No vote connects the models of different tables: they can't be ranked."
    if found["agreement"]:
        same = scores.measured(SHARE, found["agreement"])
        yield f"Two voters said the same of the same two answers in {same} of the cases."
    side = found["side"]
    place = scores.side_of(side, EVEN)
    if place is None:
        return
    share = scores.measured(SHARE, side)
    start = f"Between equal models, the answer on the left wins {share}: "
    yield start + (
        f"voters prefer the answer on the {'left' if place > 0 else 'right'}."
        if place
        else "no side is preferred."
    )


@output.command(app, "preview")
def preview(
    *,
    model: Model = None,
    against: Against = None,
    choice: Chosen = None,
    reason: Because = None,
    evaluation: OfEvaluation = None,
    as_json: Json = False,
) -> None:
    """Show what a file of these votes would hold. Nothing is stored."""
    found = connect().post(
        "/v1/votes/preview", {"filter": _filter(model, against, choice, reason, evaluation)}
    )
    if as_json:
        output.emit(found)
        return
    _show_counts(found["counts"])
    for ids in found["contradicted"]:
        output.say(f"These votes contradict each other: {', '.join(ids)}")
    if found["counts"]["pairs"]:
        output.say("Make the file: oddsmith votes file, with the same options")


@output.command(app, "file")
def make_file(
    *,
    model: Model = None,
    against: Against = None,
    choice: Chosen = None,
    reason: Because = None,
    evaluation: OfEvaluation = None,
    name: Annotated[str | None, typer.Option("--name", help="The name of the file.")] = None,
    as_json: Json = False,
) -> None:
    """Make a file of preference pairs of votes, to train on."""
    body = {"filter": _filter(model, against, choice, reason, evaluation), "filename": name}
    file = connect().post("/v1/votes/files", body)
    if as_json:
        output.emit(file)
        return
    output.say(f"{file['id']}  {file['status']}  {file['filename']}")
    _show_counts(file["made_from"]["counts"])
    output.say(f"Train on it: oddsmith jobs create --model MODEL --file {file['id']}")


@output.command(app, "link")
def link(
    evaluation: Annotated[str, typer.Argument(help="The id of the evaluation.", metavar="ID")],
    name: Annotated[str, typer.Option("--name", help="Who votes by the link.")] = "rater",
    as_json: Json = False,
) -> None:
    """Print a link to vote blind on the answers of an evaluation, and to do nothing else.

    It works until it is revoked: oddsmith keys delete
    """
    client = connect()
    body = {"name": name, "scopes": ["vote"], "evaluation_id": evaluation}
    key = client.post("/v1/api_keys", body)
    url = client.url + key["path"]
    if as_json:
        output.emit({**key, "url": url})
        return
    output.say(url)
    output.say("The link can't be shown again. It does not expire, and works on several devices.")
    if urlsplit(client.url).hostname in LOOPBACK:
        output.say("Its address works only on this machine: put the server's address in its place.")
    output.say(f"Revoke it: oddsmith keys delete {key['id']}")


def _filter(
    model: str | None,
    against: str | None,
    choice: str | None,
    reason: str | None,
    evaluation: str | None,
) -> dict[str, str]:
    given = {
        "model": model,
        "against": against,
        "choice": choice,
        "reason": reason,
        "evaluation": evaluation,
    }
    return {name: value for name, value in given.items() if value is not None}


def _show_counts(counts: dict[str, int]) -> None:
    edited = f", {counts['edited']} of them edited" if counts["edited"] else ""
    output.details(
        [
            ("votes", counts["votes"]),
            ("pairs", f"{counts['pairs']}{edited}"),
            *((f"left out: {counts[name]}", why) for name, why in LEFT_OUT.items() if counts[name]),
        ]
    )
