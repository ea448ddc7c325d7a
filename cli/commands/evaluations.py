"""`oddsmith evaluations`: list, read, compare, cancel and delete evaluations."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.client.http import Client, connect, segment
from cli.client.operations import reason
from cli.commands import following
from cli.view import output, scores
from cli.view.output import CommandError, ExitCode, Json

app = output.noun("List, read and compare evaluations of models.")

EvaluationId = Annotated[str, typer.Argument(help="The evaluation's id, eval-…", metavar="ID")]

TEXT = 240  # characters of a prompt or an answer that are shown
ENDS = {
    "succeeded": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "cancelled": ExitCode.CANCELLED,
}


class Filter(StrEnum):
    REGRESSED = "regressed"
    IMPROVED = "improved"
    TIED = "tied"
    CUT_OFF = "cut_off"


@output.command(app, "list")
def list_evaluations(
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    suite: Annotated[str | None, typer.Option(help="Only of this suite.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the evaluations, newest first."""
    found = connect().items("/v1/evaluations", limit, model=model, suite=suite)
    if as_json:
        output.emit(found)
        return
    output.table(
        ["id", "status", "suite", "model", "score"],
        [
            [
                each["id"],
                output.status(each["status"]),
                each["suite"]["name"],
                each["model"]["model"],
                _headline(each),
            ]
            for each in found
        ],
        "There are no evaluations yet. Start one with: oddsmith evaluate MODEL --suite S --data F",
        unbroken=["id", "status", "score"],
    )


def _headline(evaluation: dict[str, Any]) -> str:
    """The first score of an evaluation."""
    score = _first_score(evaluation)
    return "" if score is None else scores.number(score["metric"], score["model"]["value"])


def _first_score(evaluation: dict[str, Any]) -> dict[str, Any] | None:
    return next((score for score in evaluation["scores"] if score["model"] is not None), None)


def result_line(evaluation: dict[str, Any]) -> str:
    """How an evaluation ended, with its first score, in one line."""
    parts = [evaluation["id"], evaluation["status"]]
    if (score := _first_score(evaluation)) is not None:
        parts.append(f"{score['metric']} {scores.measured(score['metric'], score['model'])}")
    return "  ".join(parts)


@output.command(app, "show")
def show(evaluation_id: EvaluationId, as_json: Json = False) -> None:
    """Show an evaluation: what was asked, the scores, and whether a difference is chance."""
    found = connect().get(_path(evaluation_id))
    if as_json:
        output.emit(found)
        return
    present(found)
    scores.by_category(found)


def present(evaluation: dict[str, Any]) -> None:
    """Print what was asked, the scores of all prompts, and sentences on what they say."""
    output.details(
        [
            ("status", output.status(evaluation["status"])),
            ("error", reason(evaluation["error"]) or None),
            *scores.facts(evaluation),
        ]
    )
    if evaluation["scores"]:
        output.say("")
        scores.of_all(evaluation)
        output.say("")
    for sentence in scores.findings(evaluation):
        output.paragraph(sentence)


@output.command(app, "watch")
def watch(evaluation_id: EvaluationId, as_json: Json = False) -> None:
    """Follow an evaluation until it ends, then show it. Ctrl-C leaves it running."""
    follow(connect(), evaluation_id, as_json)


def follow(client: Client, evaluation_id: str, as_json: bool) -> None:
    """Follow an evaluation and print it; ends the command with the exit code of its status."""
    found = succeeded(client, evaluation_id, as_json)
    if as_json:
        output.emit(found)
        return
    present(found)
    output.say(f"Read the answers: oddsmith evaluations items {evaluation_id}")
    if not (sys.stdout.isatty() and sys.stderr.isatty()):  # a log ends with the result in one line
        output.say_at(result_line(found))


def succeeded(client: Client, evaluation_id: str, as_json: bool) -> dict[str, Any]:
    """Follow an evaluation and return it once it has succeeded; otherwise the command ends with the
    exit code of its status.
    """
    try:
        following.until_ended(evaluation_id, quiet=as_json)
    except KeyboardInterrupt:
        print(
            f"\n{evaluation_id} goes on. Follow it with: oddsmith evaluations watch "
            f"{evaluation_id}\nEnd it with: oddsmith evaluations cancel {evaluation_id}",
            file=sys.stderr,
        )
        raise
    found = client.get(_path(evaluation_id))
    if found["status"] not in ENDS:
        raise CommandError(f"The stream of {evaluation_id} ended while it was {found['status']}.")
    if found["status"] != "succeeded":
        ended = {"failed": "failed", "cancelled": "was cancelled"}[found["status"]]
        sentence = f"The evaluation {evaluation_id} {ended}. {reason(found['error'])}".rstrip()
        raise CommandError(sentence, ENDS[found["status"]], found["error"])
    return found


@output.command(app, "items")
def items(
    evaluation_id: EvaluationId,
    *,
    chosen: Annotated[
        Filter | None, typer.Option("--filter", help="Only these, compared with the baseline.")
    ] = None,
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 10,
    full: Annotated[bool, typer.Option("--full", help="Print whole texts.")] = False,
    as_json: Json = False,
) -> None:
    """List prompts with both answers, those that got worse first."""
    path = f"{_path(evaluation_id)}/items"
    found = connect().items(path, limit, filter=chosen, category=category)
    if as_json:
        output.emit(found)
        return
    if not found:
        output.say("There are no such items.")
    for item in found:
        _show_item(item, None if full else TEXT)


def _show_item(item: dict[str, Any], longest: int | None) -> None:
    change = item["change"]
    parts = [f"line {item['line']}"]
    parts += [item["category"]] if item["category"] else []
    parts += ["no change" if change == 0 else f"{change:+.2g}"] if change is not None else []
    parts += ["cut off"] if item["cut_off"] else []
    output.say(Text("  ".join(map(output.plain, parts)), "bold"))
    output.details([(name, output.short(text, longest)) for name, text in _texts(item)])
    output.say("")


def _texts(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The prompt and the answers of each turn, with all its samples; of a pair in the file, both
    answers with their numbers; then what the judge wrote.
    """
    turns = len(item["turns"])
    for turn, messages in enumerate(item["turns"]):
        yield "prompt", messages[-1]["content"]
        for side, answers in (("model", item["answers"]), ("baseline", item["baseline_answers"])):
            of_turn = answers[turn::turns]
            for sample, answer in enumerate(of_turn, 1):
                name = side if len(of_turn) == 1 else f"{side} {sample}"
                yield name, (answer or {"text": "(no answer)"})["text"]
    for answer in ("chosen", "rejected"):
        if said := item.get("reference", {}).get(answer):
            yield answer, said[-1].get("content") or ""
    if "log_odds_ratio" in (item.get("result") or {}):
        yield from _numbers(item["result"])
    for judgment in item["judgments"]:
        if judgment["text"]:
            yield "judge", judgment["text"]


def _numbers(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How likely both answers of a pair are under each side."""
    for side, numbers in (("model", result), ("baseline", result.get("baseline"))):
        if numbers:
            logps = f"{numbers['logps_chosen']:.2f} and {numbers['logps_rejected']:.2f}"
            yield side, f"log odds ratio {numbers['log_odds_ratio']:+.2f} (log-probs {logps})"


@output.command(app, "compare")
def compare(
    ids: Annotated[list[str], typer.Argument(help="Evaluations of one suite.", metavar="ID…")],
    as_json: Json = False,
) -> None:
    """Compare evaluations with the first of them, prompt by prompt."""
    found = connect().get("/v1/evaluations/compare", ids=",".join(ids))
    if as_json:
        output.emit(found)
        return
    models = {each["id"]: each["model"]["model"] for each in found["evaluations"]}
    for row in found["metrics"]:
        if row["category"] is None:
            output.say(Text(row["metric"], "bold"))
            numbers = ["value", "difference"]
            output.table(["model", *numbers], _cells(row, models), "", unbroken=numbers)
            output.say("")
    for note in found["notes"]:
        where = f"{models[note['evaluation']]} ({note['evaluation']})"
        output.paragraph(f"{where}: {note['message']}")


def _cells(row: dict[str, Any], models: dict[str, str]) -> list[list[Any]]:
    metric = row["metric"]
    return [
        [
            models[cell["evaluation"]],
            scores.measured(metric, cell["value"]),
            scores.difference(metric, cell["difference"]),
        ]
        for cell in row["cells"]
    ]


@output.command(app, "cancel")
def cancel(evaluation_id: EvaluationId, as_json: Json = False) -> None:
    """Stop an evaluation. Answers that were given are not asked again by another one."""
    found = connect().post(f"{_path(evaluation_id)}/cancel")
    output.emit_or_say(found, as_json, f"{found['id']}  {found['status']}  (cancel requested)")


@output.command(app, "delete")
def delete(evaluation_id: EvaluationId, as_json: Json = False) -> None:
    """Delete an evaluation that has ended."""
    deleted = connect().delete(_path(evaluation_id))
    output.emit_or_say(deleted, as_json, f"Deleted {evaluation_id}.")


def _path(evaluation_id: str) -> str:
    return f"/v1/evaluations/{segment(evaluation_id)}"
