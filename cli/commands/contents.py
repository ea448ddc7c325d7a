"""Writes what the API sends to a file: `oddsmith files download`, and exports."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client.http import Client, connect, segment
from cli.commands.arguments import FileId
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json
from cli.view.progress import bar


def download(
    file_id: FileId,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the file is written.")],
    as_json: Json = False,
) -> None:
    """Write a file as it was uploaded, or a table of results that a run left."""
    path = f"/v1/files/{segment(file_id)}/content"
    written = save(connect(), path, out, as_json)
    done = {"path": str(out), "bytes": written}
    output.emit_or_say(done, as_json, f"{out}: {output.size(written)}")


def save(client: Client, path: str, out: Path, quiet: bool, **params: Any) -> int:
    """Write the answer at `path` to `out` and return its bytes, with a bar on stderr. Until it is
    complete, its name ends in `.part`. Raises CommandError if it can't be written.
    """
    if out.is_dir():
        raise CommandError(f"{out} is a folder: name a file in it.", ExitCode.USAGE)
    partial, written = out.with_name(f"{out.name}.part"), 0
    try:
        with bar(f"Writing {out.name}", quiet) as show, partial.open("wb") as file:
            for written, size_bytes in client.download(path, file, **params):
                show(written, size_bytes)
        partial.replace(out)
    except OSError as error:
        raise CommandError(f"{out} can't be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return written
