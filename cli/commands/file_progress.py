"""The state of a file in words, which are those of the page, and the wait until it is checked.

`web/src/features/files/file-progress.ts` has the same words.
"""

from typing import Any

from cli.client.http import Client, segment, wait_until
from cli.view import output
from cli.view.progress import stages

# Stage of a file in the making: its state, and what is done to the file.
STAGES = {
    "make": ("being made", "Making the rows"),
    "validate": ("being checked", "Checking the rows"),
    "audit": ("being audited", "Auditing the rows"),
    "compare": ("being compared", "Comparing the rows with each other"),
}


def until_checked(client: Client, file_id: str, quiet: bool = False) -> dict[str, Any]:
    """Wait until a file is processed or in error, with a bar on stderr; return it."""
    with stages("Waiting", quiet) as show:

        def on_poll(file: dict[str, Any]) -> None:
            if progress := file.get("progress"):
                show(_doing(progress), progress["done"], progress["total"])

        path = f"/v1/files/{segment(file_id)}"
        return wait_until(client, path, lambda file: file["status"] != "uploaded", on_poll)


def state(file: dict[str, Any]) -> str:
    """The state of a file: `ready`, `error`, or what is done to it, as `being checked, 43%`."""
    if file["status"] != "uploaded":
        return "ready" if file["status"] == "processed" else file["status"]
    progress = file.get("progress") or {}
    # A version has no bytes, and so no sha256, until it is made.
    stage = progress.get("stage") or ("make" if file.get("sha256") == "" else "validate")
    share = f", {progress['done'] / progress['total']:.0%}" if progress.get("total") else ""
    return f"{STAGES[stage][0]}{share}"


def progress(file: dict[str, Any]) -> str | None:
    """What is done to a file and how far it is: `Checking the rows: 430 of 1,000 rows`. None where
    that is not known.
    """
    found = file.get("progress")
    if not found:
        return None
    in_rows = found["unit"] == "rows"
    done, total = (
        None if n is None else f"{n:,}" if in_rows else output.size(n)
        for n in (found["done"], found["total"])
    )
    of = "" if total is None else f" of {total}"
    return f"{_doing(found)}: {done}{of}{' rows' if in_rows else ''}"


def _doing(progress: dict[str, Any]) -> str:
    name = f" ({progress['name'].replace('_', ' ')})" if progress.get("name") else ""
    is_part = progress.get("step") and progress.get("steps")
    part = f", step {progress['step']} of {progress['steps']}{name}" if is_part else ""
    return f"{STAGES[progress['stage']][1]}{part}"


def rows(file: dict[str, Any]) -> str | None:
    """How many rows a file has, and how many of them are usable; None until it is checked."""
    accepted, found = file.get("accepted"), file.get("rows")
    if accepted is None or found is None:
        return None
    return f"{found:,}" if accepted == found else f"{accepted:,} of {found:,} usable"
