"""`oddsmith files`: upload files of pairs or prompts and read what their validation found."""

from pathlib import Path
from typing import Annotated

import typer

from cli.client.http import connect, segment
from cli.client.operations import in_commands
from cli.commands import (
    contents,
    deep_audits,
    file_progress,
    overlaps,
    reports,
    rows,
    tokens,
    uploads,
    versions,
)
from cli.commands.arguments import FileId
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json, Unmask
from cli.view.progress import bar

app = output.noun("Upload files of pairs or prompts and read their reports.")
for _command in (rows.rows, rows.dropped, rows.statistics, uploads.upload, uploads.reread):
    output.command(app, _command.__name__)(_command)


@output.command(app, "list")
def list_files(as_json: Json = False) -> None:
    """List the files, newest first."""
    files = connect().items("/v1/files")
    if as_json:
        output.emit(files)
        return
    output.table(
        ["id", "purpose", "state", "rows", "size", "uploaded", "name"],
        [
            [
                f["id"],
                f["purpose"],
                output.status(file_progress.state(f)),
                file_progress.rows(f),
                output.size(f["bytes"]),
                output.when(f["created_at"]),
                f["filename"],
            ]
            for f in files
        ],
        "There are no files yet. Add one with: oddsmith files upload PATH",
        unbroken=["id", "state", "rows"],
    )


@output.command(app, "show")
def show(
    file_id: FileId,
    line: Annotated[
        int | None, typer.Option("--line", help="A line of the file: shows its tokens.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The base model whose tokens are shown.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one file, or the exact tokens of one of its rows for a base model."""
    if (line is None) != (model is None):
        raise CommandError("--line and --model belong together.", ExitCode.USAGE)
    if line is not None:
        tokens.show(file_id, line, str(model), as_json)
        return
    file = connect().get(f"/v1/files/{segment(file_id)}")
    if as_json:
        output.emit(file)
        return
    output.details(
        [
            ("id", file["id"]),
            ("name", file["filename"]),
            ("state", output.status(file_progress.state(file))),
            ("details", in_commands(file.get("status_details") or "") or None),
            ("progress", file_progress.progress(file)),
            ("rows", file_progress.rows(file)),
            ("size", output.size(file["bytes"])),
            ("uploaded", output.when(file["created_at"])),
            *(("made of", parent["id"]) for parent in file.get("parents") or ()),
        ]
    )


for _command in (
    reports.report, versions.make, versions.versions, versions.export, contents.download
):  # fmt: skip
    output.command(app, _command.__name__)(_command)


@output.command(app, "deep-audit")
def deep_audit(
    file_id: FileId,
    *,
    model: Annotated[str, typer.Option(help="The base model that judges the pairs.")],
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=100, help="Print this many pairs.")] = 20,
    as_json: Json = False,
) -> None:
    """Look for pairs whose choice is the wrong way round. Trains small adapters: takes minutes."""
    client = connect()
    found = deep_audits.run(client, file_id, model, seed, quiet=as_json)
    if as_json:
        output.emit(found)
    else:
        deep_audits.show(found, deep_audits.worst(client, found, limit) if limit else [])


@output.command(app, "overlap")
def overlap(
    file_id: FileId,
    *,
    against: Annotated[
        list[str],
        typer.Option(help="A file's id, or the path of a file of pairs or prompts; repeatable."),
    ],
    recipe: Annotated[
        Path | None, typer.Option(help="Write a recipe that drops these rows.", metavar="PATH")
    ] = None,
    unmask: Unmask = False,
    as_json: Json = False,
) -> None:
    """Find rows whose prompt stands in held-out pairs or in a benchmark, too.

    A path is uploaded for the comparison, and deleted after it.
    """
    client = connect()
    if uploads.paths_of(against):
        client.get(f"/v1/files/{segment(file_id)}")  # refused before anything is uploaded
    with uploads.uploaded(client, against, quiet=as_json) as ids, bar("Comparing prompts", as_json):
        path = f"/v1/files/{segment(file_id)}/overlaps"
        found = client.get(path, against=ids, unmask=unmask or None)
    if recipe is not None and overlaps.lines_of(found):
        overlaps.write(found, recipe)
    if as_json:
        output.emit(found)
    else:
        names = dict(zip(ids, against, strict=True))
        overlaps.show(found, [names[each["file_id"]] for each in found["against"]], recipe)


@output.command(app, "delete")
def delete(file_id: FileId, as_json: Json = False) -> None:
    """Delete a file that no run uses."""
    deleted = connect().delete(f"/v1/files/{segment(file_id)}")
    output.emit_or_say(deleted, as_json, f"Deleted {file_id}.")
