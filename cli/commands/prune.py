"""`oddsmith prune`: remove files that nothing needs any more."""

from collections import defaultdict
from typing import Annotated, Any

import typer

from cli.view import output
from cli.view.output import Json

app = typer.Typer()


@output.command(app, "prune")
def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove files that were deleted, are past their retention time, or have no database row.

    A running stack does the same every ten minutes.
    """
    # SQLAlchemy takes 0.3 s to import; `--help` must not wait for it.
    from dataclasses import asdict  # noqa: PLC0415

    from cli.stack.attach import attached  # noqa: PLC0415
    from services.upkeep import pruning  # noqa: PLC0415

    with attached():
        found = pruning.plan() if dry_run else pruning.prune()
    if as_json:
        output.emit([asdict(each) for each in found])
        return
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for each in found:
        by_kind[each.kind].append(each)
    output.table(
        ["kind", "number", "size", "why"],
        [
            [
                kind,
                len(items),
                output.size(sum(item.size_bytes for item in items)),
                " ".join(sorted({item.why for item in items})),
            ]
            for kind, items in sorted(by_kind.items())
        ],
        "There is nothing to remove.",
    )
    if dry_run and found:
        output.say("Nothing was removed: leave out --dry-run to do it.")
