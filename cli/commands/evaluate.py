"""`oddsmith evaluate`: evaluate a model, follow it, and say whether it is better."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client.http import connect
from cli.commands import evaluations
from cli.commands.uploads import Purpose, with_files
from cli.view import output, scores
from cli.view.output import CommandError, ExitCode, Json

app = typer.Typer()


@output.command(app, "evaluate")
def evaluate(
    model: Annotated[str, typer.Argument(help="The model; see: oddsmith models list")],
    *,
    suite: Annotated[str, typer.Option(help="What to measure; see: oddsmith suites")],
    data: Annotated[
        str,
        typer.Option(help="Prompts, or pairs for held_out: a file's id, or a path to upload."),
    ],
    against: Annotated[
        str | None, typer.Option(help="The baseline: a model that answers the same prompts.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Ask --against there: an OpenAI-compatible address, https://…/v1"),
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="The name of the operator's key to --base-url.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="The id of a judge, judge-…")] = None,
    judge_prompt: Annotated[
        Path | None,
        typer.Option(help="A file with {prompt}, {first} and {second}, instead of our prompt."),
    ] = None,
    orders: Annotated[
        int, typer.Option(min=1, max=2, help="2: the judge sees both orders of two answers.")
    ] = 2,
    samples: Annotated[
        int | None,
        typer.Option(min=2, max=20, help="Answers to each prompt, of the suite diversity."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many of the prompts.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same prompts.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest tokens of this total share.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The longest answer, in tokens.")
    ] = None,
    deploy: Annotated[
        bool, typer.Option("--deploy", help="Deploy what isn't deployed, and stop it at the end.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is queued.")] = False,
    as_json: Json = False,
) -> None:
    """Evaluate a model, alone or against a baseline. A path is uploaded, once the rest was checked.

    Ctrl-C leaves the evaluation running. Exits with 1 if it failed, 6 if it was cancelled.
    """
    body: dict[str, Any] = {
        "model": model,
        "suite": suite,
        "baseline": _baseline(against, base_url, secret),
        "judge": judge,
        "judge_prompt": _text(judge_prompt),
        "orders": orders,
        "samples": samples,
        "limit": limit,
        "seed": seed,
        "sampling": _given(temperature=temperature, top_p=top_p, max_tokens=max_tokens),
        "deploy": deploy,
    }
    client = connect()
    check = "/v1/evaluations/check"
    body = with_files(client, body, {"data": data}, check, as_json, _purpose(suite))
    made = client.post("/v1/evaluations", body)
    if detach:
        output.emit_or_say(made, as_json, f"{made['id']}  {made['status']}")
        if not as_json:
            output.say(f"Follow it: oddsmith evaluations watch {made['id']}")
        return
    evaluations.follow(client, made["id"], as_json)


def _purpose(suite: str) -> Purpose:
    """What a file is uploaded for."""
    return Purpose.PAIRS if suite == scores.HELD_OUT else Purpose.PROMPTS


def _baseline(against: str | None, base_url: str | None, secret: str | None) -> Any:
    if base_url is None:
        if secret is not None:
            raise CommandError("--secret is the key to a --base-url: add it.", ExitCode.USAGE)
        return against
    if against is None:
        raise CommandError("--base-url needs --against, the model's name there.", ExitCode.USAGE)
    return {"base_url": base_url, "model": against} | _given(secret=secret)


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} can't be read as text: {error}", ExitCode.REFUSED) from None


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
