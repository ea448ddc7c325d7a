"""Gates of a job in the terminal: how one is written, and what has become of it.

Only the API knows suites and metrics: names and values are passed through.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.client.operations import in_commands
from cli.view import output
from cli.view.output import CommandError, ExitCode

EXAMPLE = "suite=ifeval,data=file-…,metric=prompt_strict,at_least=base - 0.02"
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        help="What the model must reach to be promoted, as "
        f"'{EXAMPLE}'; also judge, limit, seed and deploy. Repeat for several.",
    ),
]


def gate(text: str) -> dict[str, Any]:
    """Read `name=value,name=value`; a value is JSON if it parses (0.4, 100), otherwise text."""
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not name:
            raise CommandError(
                f"--gate takes name=value pairs, separated by commas, such as '{EXAMPLE}'; not "
                f"{part!r}.",
                ExitCode.USAGE,
            )
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def lines(job: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What `jobs show` prints of a job's gates: whether it is promoted, then a line for each."""
    promotion, gates = job.get("promotion"), job.get("gates") or []
    if not gates:
        return
    yield "promoted", promoted(promotion["promoted"]) if promotion else "not decided yet"
    for each in (promotion or {}).get("gates") or gates:
        name = f"  {each['suite']} {each['metric']}"
        yield name, f"at least {each['at_least']}: {_outcome(each)}"


def promoted(value: bool | None) -> str:
    """A model's `promoted`; empty where it has no gates, or they are not decided."""
    return {True: "yes", False: "no", None: ""}[value]


def _outcome(gate: dict[str, Any]) -> str:
    if "passed" in gate:
        return f"{'passed' if gate['passed'] else 'not passed'}. {in_commands(gate['reason'])}"
    if gate.get("reason"):
        return in_commands(gate["reason"])
    evaluation = gate.get("evaluation")
    return f"evaluated by {evaluation}" if evaluation else "evaluated after the training"


def summary(job_id: str, gates: list[dict[str, Any]], promotion: dict[str, Any] | None) -> Text:
    """What `jobs watch` prints last of a job that has succeeded and has gates."""
    if promotion is not None:
        return Text("promoted" if promotion["promoted"] else "not promoted")
    ids = dict.fromkeys(each["evaluation"] for each in gates if each.get("evaluation"))
    return Text(
        f"The model is evaluated for its gates: {output.plain(', '.join(ids))}. Whether it is "
        f"promoted is shown by: oddsmith jobs show {output.plain(job_id)}"
    )
