"""`oddsmith files report`: what the validation and the audit of a file found.

The function behind the command; `files.py` registers it.
"""

import shlex
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from cli.client.http import connect, segment
from cli.commands import versions
from cli.commands.arguments import FileId
from cli.view import audit, output
from cli.view.output import Json
from orpo.rows.suggested import as_option

# What is said of accepted rows, by code.
REMARKS = {
    "unused_key": "this key is not read",
    "spelled_messages": "text that spells messages in JSON, which were read",
    "duplicate_key": "this key stands twice in an object; the last value was read",
}


def report(file_id: FileId, as_json: Json = False) -> None:
    """Show whether a file is ready to train on, what its audit found, and rows dropped."""
    found = connect().get(f"/v1/files/{segment(file_id)}/report")
    if as_json:
        output.emit(found)
        return
    prompts = found.get("prompts")
    if prompts is None:
        audit.show(found.get("audit"), found.get("audit_failure"))
    output.details(
        [
            ("container", found.get("container")),
            ("shape", found.get("shape")),
            *(_prompts(prompts) if prompts else ()),
            ("rows", found["rows"]),
            ("accepted", Text(str(found["accepted"]), "green" if found["accepted"] else "red")),
            *((f"dropped: {why}", count) for why, count in found["dropped"].items()),
        ]
    )
    if steps := found.get("steps"):
        output.say("")
        versions.show_steps(steps)
    if remarks := found.get("remarks"):
        output.say("")
        output.table(["key", "rows", "in accepted rows", "lines"], map(_remark, remarks), "")
    if findings := found["findings"]:
        output.say("")
        place = "row" if found.get("container") == "parquet" else "line"
        output.table([place, "column", "finding", "what"], map(_finding, findings), "")
        if (more := sum(found["dropped"].values()) - len(findings)) > 0:
            output.say(f"… and {more} more.")
    if suggested := found.get("suggested_columns"):
        option = as_option(suggested)
        output.say("")
        output.say("Its rows are pairs if the columns are read under these names:")
        output.say(f"oddsmith files reread {file_id} --columns {shlex.quote(option)}")


def verdict(report: dict[str, Any]) -> str:
    """How many rows of a file can be used, in the words of the page."""
    rows, accepted = report["rows"], report["accepted"]
    if joined := report.get("joined"):  # thumbs up and down, made into pairs
        made = f"{accepted:,} pairs were made of {rows:,} rows"
        return f"{made}; {rows - accepted - joined:,} were dropped."
    if rows == 0:
        return "The file holds no row."
    if accepted == 0:
        return f"None of its {rows:,} rows can be used."
    if accepted == rows:
        return "Its one row can be used." if rows == 1 else f"All {rows:,} rows can be used."
    dropped = "1 was" if rows - accepted == 1 else f"{rows - accepted:,} were"
    return f"{accepted:,} of {rows:,} rows can be used; {dropped} dropped."


def _prompts(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "fits the suites", ", ".join(found["suites"])
    yield "official file of", found["official"]
    yield "repeated, asked once", found["repeated"] or None
    yield "turns", found["turns"]


def _remark(remark: dict[str, Any]) -> list[Any]:
    lines = ", ".join(map(str, remark["lines"]))
    more = "…" if remark["rows"] > len(remark["lines"]) else ""
    return [
        remark["key"],
        remark["rows"],
        REMARKS.get(remark["code"], remark["code"]),
        lines + more,
    ]


def _finding(finding: dict[str, Any]) -> list[Any]:
    return [finding["line"], finding.get("column"), finding["code"], finding["message"]]
