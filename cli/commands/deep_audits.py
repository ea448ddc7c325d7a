"""`oddsmith files deep-audit`: start a deep audit, follow it, and print the worst pairs."""

import re
from collections.abc import Iterator
from typing import Any

from cli.client.http import Client, segment, wait_until
from cli.client.operations import reason
from cli.view import output
from cli.view.output import CommandError
from cli.view.progress import stages

PHASES = {
    "validating_files": "Preparing the pairs",
    "queued": "Waiting for a worker",
    "running": "Loading the model",
}
ENDED = ("succeeded", "failed", "cancelled")
SENTENCE = re.compile(r"(?<=[.!?])\s")
LONGEST = 90  # characters of a sentence that are shown


def run(client: Client, file_id: str, model: str, seed: int | None, quiet: bool) -> dict[str, Any]:
    """Start an audit and return it once it has succeeded; Ctrl-C cancels it.

    Raises CommandError if it ends in another way.
    """
    path = f"/v1/files/{segment(file_id)}/deep_audits"
    made = client.post(path, {"model": model, "seed": seed})
    path = f"{path}/{segment(made['id'])}"
    with stages(PHASES["validating_files"], quiet) as show:

        def look(audit: dict[str, Any]) -> None:
            show(*phase_of(audit))

        try:
            audit = wait_until(client, path, lambda found: found["status"] in ENDED, look)
        except KeyboardInterrupt:
            client.post(f"{path}/cancel")
            raise
    if audit["status"] != "succeeded":
        why = reason(audit["error"])
        raise CommandError(
            f"The deep audit {audit['status']}. {why}".rstrip(), error=audit["error"]
        )
    return audit


def phase_of(audit: dict[str, Any]) -> tuple[str, int, int | None]:
    """What an audit does now, how much of it is done, and of how much; None: not known yet."""
    progress = audit["progress"] or {}
    if progress.get("steps"):
        return "Judging the pairs", progress["step"], progress["steps"]
    preparing = progress.get("preparing")
    if audit["status"] == "validating_files" and preparing:
        return PHASES["validating_files"], preparing["tokenised"], preparing["pairs"]
    return PHASES.get(audit["status"], "Judging the pairs"), 0, None


def worst(client: Client, audit: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    """The most suspicious pairs, each with its accepted row as `row`."""
    file = f"/v1/files/{segment(audit['file_id'])}"
    pairs = client.get(f"{file}/deep_audits/{segment(audit['id'])}/pairs", limit=limit)["data"]
    for pair in pairs:
        (pair["row"],) = client.get(f"{file}/rows", offset=pair["place"], limit=1)["data"]
    return pairs


def show(audit: dict[str, Any], pairs: list[dict[str, Any]]) -> None:
    """Print what was found, then the most suspicious pairs with the beginnings of both answers."""
    found = audit["result"]
    output.details(
        [
            ("audit", audit["id"]),
            ("judge", f"{audit['model']}, shares {_share(found['accuracy'])} of the choices"),
            ("base alone", f"shares {found['base_accuracy']:.0%} of the choices"),
            ("wrong choices", f"{_share(found['noise_share'])}, estimated"),
            ("likely swapped", f"{found['likely_swapped']} of {found['pairs']} pairs"),
            ("unclear", str(found["unclear"])),
            ("all pairs", f"oddsmith files download {audit['result_files'][0]} -o pairs.jsonl"),
        ]
    )
    output.say("")
    output.table(
        ["line", "score", "opinion", "chosen", "rejected"],
        [
            [
                pair["line"],
                f"{pair['score']:.2f}",
                pair["opinion"],
                *(first_sentence(pair["row"][side]) for side in ("chosen", "rejected")),
            ]
            for pair in pairs
        ],
        "No pair was judged.",
    )
    for line in next_commands(audit):
        output.say(line)


def next_commands(audit: dict[str, Any]) -> Iterator[str]:
    """The commands that show, drop or swap the rows of each finding."""
    file_id, found = audit["file_id"], audit["result"]
    if found["likely_swapped"]:
        yield ""
        yield "Read these rows first: a judge that shares few of the choices is often wrong."
        yield f"show the likely swapped:  oddsmith files rows {file_id} --finding likely_swapped"
        yield f"drop them:                oddsmith files make {file_id} --drop likely_swapped"
        yield f"swap their answers:       oddsmith files make {file_id} --swap likely_swapped"
    if found["unclear"]:
        yield f"drop the unclear:         oddsmith files make {file_id} --drop unclear"


def first_sentence(messages: list[dict[str, Any]] | None) -> str:
    """The beginning of an answer, in one line."""
    text = " ".join(str((messages or [{}])[0].get("content") or "").split())
    sentence = SENTENCE.split(text, maxsplit=1)[0]
    return sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 1]}…"


def _share(found: dict[str, float]) -> str:
    return f"{found['share']:.0%} ({found['low']:.0%} to {found['high']:.0%})"
