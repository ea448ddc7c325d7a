"""A run's labels in the terminal: its name, its tags and its notes, and whether it is archived."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.client.http import Client
from cli.view.output import CommandError, ExitCode

NewName = Annotated[
    str | None, typer.Option("--name", help='The name. "" returns to the suffix.', metavar="TEXT")
]
Add = Annotated[
    list[str] | None, typer.Option("--tag", help="Add a tag; repeat for several.", metavar="WORD")
]
Remove = Annotated[
    list[str] | None,
    typer.Option("--untag", help="Remove a tag; repeat for several.", metavar="WORD"),
]
Notes = Annotated[
    str | None, typer.Option("--notes", help="Replace the notes, plain text.", metavar="TEXT")
]
Archive = Annotated[
    bool | None,
    typer.Option("--archive/--unarchive", help="Leave it out of the list, or show it again."),
]


def changes(
    client: Client,
    path: str,
    *,
    name: str | None,
    add: Sequence[str] | None,
    remove: Sequence[str] | None,
    notes: str | None,
    archived: bool | None,
) -> dict[str, Any]:
    """Return the body of an edit: only what the options name. Reads the run if its tags change.

    Raises CommandError if no option is given.
    """
    given: dict[str, Any] = {"notes": notes, "archived": archived}
    body = {field: value for field, value in given.items() if value is not None}
    if name is not None:
        body["name"] = name or None
    if add or remove:
        body["tags"] = with_tags(client.get(path).get("tags") or [], add or (), remove or ())
    if not body:
        raise CommandError(
            "Nothing to change: give --name, --tag, --untag, --notes, --archive or --unarchive.",
            ExitCode.USAGE,
        )
    return body


def with_tags(tags: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> list[str]:
    """Return the tags after adding some and removing others; tags are in lower case.

    Raises CommandError for one to remove that the run does not have.
    """
    added = [*dict.fromkeys([*tags, *(tag.lower() for tag in add)])]
    for tag in remove:
        if tag.lower() not in added:
            has = ", ".join(added) or "none"
            raise CommandError(f"The run has no tag '{tag}' to remove; it has: {has}.")
        added.remove(tag.lower())
    return added


def lines(job: dict[str, Any]) -> list[tuple[str, Any]]:
    """The labels of a run, for its details."""
    return [
        ("tags", ", ".join(job.get("tags") or ()) or None),
        ("notes", job.get("notes") or None),
        ("archived", "yes" if job.get("archived") else None),
    ]


def name(job: dict[str, Any]) -> str:
    """The name of a run, or the start of its id, as the page shows it."""
    return job.get("name") or job["id"].removeprefix("ftjob-")[:8]
