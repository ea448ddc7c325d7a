"""The audit of a file on the terminal: the judgement and its reasons, then the findings.

Knows the report's part `audit`; the sentences come from the server.
"""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from cli.view import output

VERDICTS = {
    "ready": ("ready to train on", "green"),
    "check": ("look at it before you train on it", "yellow"),
    "not_ready": ("not ready: repair it first", "red"),
}
SEVERITIES = {"error": "red", "warning": "yellow", "info": "cyan"}


def show(audit: dict[str, Any] | None, failure: str | None) -> None:
    """Print the judgement with its reasons, the figures and the findings; or why there is none."""
    if audit is None:
        if failure:
            output.say(Text.assemble(("no audit: ", "yellow"), output.plain(failure)))
            output.say("")
        return
    says, style = VERDICTS.get(audit["verdict"], (audit["verdict"], ""))
    output.say(Text(output.plain(says), f"bold {style}"))
    for reason in audit["reasons"]:
        output.say(f"- {reason}")
    output.say("")
    output.details(_figures(audit))
    if audit["findings"]:
        output.say("")
        output.table(["severity", "finding", "rows", "lines"], map(_row, audit["findings"]), "")
        output.say("")
        for finding in audit["findings"]:
            judge = f" Judged by {finding['model']}." if finding.get("model") else ""
            output.say(f"{_name(finding['code'])}: {finding['message']}{judge}")
    output.say("")


def _figures(audit: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    length = audit["length"]
    if length:
        yield (
            "mean length",
            (
                f"chosen {length['mean_chosen_chars']:.0f} characters, "
                f"rejected {length['mean_rejected_chars']:.0f}"
            ),
        )
        yield "the longer answer wins", _percent(length["longer_wins"])
        yield "accuracy by length alone", _percent(length["length_only_accuracy"])
        yield "accuracy by words alone", _percent(length["bag_of_words_accuracy"])
    if audit["languages"]:
        some = ", ".join(f"{each['language']} {each['rows']}" for each in audit["languages"][:6])
        yield f"languages of {audit['sampled']} rows", some


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def _row(finding: dict[str, Any]) -> list[Any]:
    severity = finding["severity"]
    lines = ", ".join(map(str, finding["lines"][:5]))
    more = "…" if finding["rows"] > len(finding["lines"][:5]) else ""
    return [
        Text(output.plain(severity), SEVERITIES.get(severity, "")),
        _name(finding["code"]),
        finding["rows"],
        lines + more,
    ]


def _name(code: str) -> str:
    return code.replace("_", " ")
