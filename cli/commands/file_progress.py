"""Waits until a file is made and validated, and shows how far it is."""

from typing import Any

from cli.client.http import Client, segment, wait_until
from cli.view.progress import stages

STAGES = {
    "validate": "Reading the rows",
    "audit": "Auditing the rows",
    "compare": "Comparing the rows with each other",
}


def until_checked(client: Client, file_id: str, quiet: bool = False) -> dict[str, Any]:
    """Wait until a file is processed or in error, with a bar on stderr; return it."""
    with stages("Waiting", quiet) as show:

        def on_poll(file: dict[str, Any]) -> None:
            if progress := file.get("progress"):
                show(in_words(progress), progress["done"], progress["total"])

        path = f"/v1/files/{segment(file_id)}"
        return wait_until(client, path, lambda file: file["status"] != "uploaded", on_poll)


def in_words(progress: dict[str, Any]) -> str:
    """What is done with a file at the moment."""
    if progress["stage"] == "make":
        return f"Making it: step {progress['step']} of {progress['steps']} ({progress['name']})"
    return STAGES.get(progress["stage"], "Working")


def share(progress: dict[str, Any]) -> str:
    """The same with the share that is done, or how much is, if the total is not known."""
    if progress["total"]:
        return f"{in_words(progress)}: {progress['done'] / progress['total']:.0%}"
    return f"{in_words(progress)}: {progress['done']} {progress['unit']}"
