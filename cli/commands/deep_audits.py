"""`oddsmith files deep-audit`: start a deep audit, follow it, and print the worst pairs."""

import re
from typing import Any

from cli.client.http import Client, segment, wait_until
from cli.view import output
from cli.view.output import CommandError
from cli.view.progress import bar

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
    with bar("Judging the pairs", quiet) as show:

        def look(audit: dict[str, Any]) -> None:
            progress = audit["progress"] or {}
            if progress.get("steps"):
                show(progress["step"], progress["steps"])

        try:
            audit = wait_until(client, path, lambda found: found["status"] in ENDED, look)
        except KeyboardInterrupt:
            client.post(f"{path}/cancel")
            raise
    if audit["status"] != "succeeded":
        why = (audit["error"] or {}).get("message", "")
        raise CommandError(
            f"The deep audit {audit['status']}. {why}".rstrip(), error=audit["error"]
        )
    return audit


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
            ("all pairs", f"GET /v1/files/{audit['result_files'][0]}/content"),
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


def first_sentence(messages: list[dict[str, Any]] | None) -> str:
    """The beginning of an answer, in one line."""
    text = " ".join(str((messages or [{}])[0].get("content") or "").split())
    sentence = SENTENCE.split(text, maxsplit=1)[0]
    return sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 1]}…"


def _share(found: dict[str, float]) -> str:
    return f"{found['share']:.0%} ({found['low']:.0%} to {found['high']:.0%})"
