"""Sends files: `oddsmith files upload` and `reread`, and the files that other commands need.

The functions behind the commands; `files.py` registers them.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import uploads as in_parts
from cli.client.http import Client, connect, segment, wait_until
from cli.client.operations import in_commands
from cli.commands import file_progress, reports
from cli.commands.arguments import FileId
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json
from cli.view.progress import bar
from orpo.rows.column_names import parse_columns

Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Columns with other names: prompt=question,chosen=best,rejected=worst",
    ),
]


class Purpose(StrEnum):
    """What a file is for."""

    PAIRS = "fine-tune"
    PROMPTS = "evals"


Wait = Annotated[bool, typer.Option("--wait", help="Return when the file is validated.")]


def upload(
    path: Annotated[Path, typer.Argument(help="A file of preference pairs, or of prompts.")],
    columns: Columns = None,
    purpose: Annotated[
        Purpose, typer.Option(help="`evals` for a file of prompts to evaluate models on.")
    ] = Purpose.PAIRS,
    wait: Wait = False,
    resume: Annotated[
        str | None,
        typer.Option(help="Go on with this upload in parts.", metavar="UPLOAD_ID"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Upload a file: JSON lines, a JSON array, CSV or Parquet, also .gz or .zst; of prompts, .txt.

    One above 64 MiB is sent in parts, so that it can be continued.
    """
    mapping = mapping_of(columns)
    client = connect()
    file = send(client, path, quiet=as_json, columns=mapping, resume=resume, purpose=purpose)
    _tell(client, file, wait, as_json)


def reread(
    file_id: FileId,
    columns: Annotated[
        str,
        typer.Option(help="Columns with other names: prompt=question,chosen=best,rejected=worst"),
    ],
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Read a file again under other column names: another file of the same bytes."""
    mapping = mapping_of(columns)
    client = connect()
    file = client.post(f"/v1/files/{segment(file_id)}/rereads", {"columns": mapping})
    _tell(client, file, wait, as_json)


def _tell(client: Client, file: dict[str, Any], wait: bool, as_json: bool) -> None:
    """Print a new file, once it is validated if that is awaited."""
    if wait:
        file = validated(client, file["id"], as_json)
    if as_json:
        output.emit(file)
    else:
        output.say(f"{file['id']}  {file_progress.state(file)}")
        if wait:
            report = client.get(f"/v1/files/{segment(file['id'])}/report")
            output.say(reports.verdict(report))
        output.say(f"Its report: oddsmith files report {file['id']}")


def mapping_of(columns: str | None) -> dict[str, str] | None:
    """The mapping that `prompt=question,chosen=best` or a JSON object spells; raises CommandError
    if it is none.
    """
    if columns is None:
        return None
    if columns.lstrip().startswith("{"):
        try:
            return parse_columns(columns)
        except ValueError as error:
            raise CommandError(str(error), ExitCode.USAGE) from None
    parts = [part.partition("=") for part in columns.split(",")]
    if not all(field.strip() and name.strip() for field, _, name in parts):
        raise CommandError(
            "--columns takes fields and the names of their columns, as in "
            "prompt=question,chosen=best,rejected=worst",
            ExitCode.USAGE,
        )
    return {field.strip(): name.strip() for field, _, name in parts}


@contextmanager
def uploaded(client: Client, ids_or_paths: list[str], quiet: bool) -> Iterator[list[str]]:
    """Yield the ids of files. Those that are paths are uploaded, and deleted in the end."""
    ids: list[str] = []
    paths_of(ids_or_paths)  # all are looked for before the first is sent
    with ExitStack() as stack:
        for each in ids_or_paths:
            if is_id(each):
                ids.append(each)
                continue
            file_id = send(client, Path(each), quiet)["id"]
            path = f"/v1/files/{segment(file_id)}"
            stack.callback(client.delete, path)
            # A file of prompts has no pair: its status is `error`, and its prompts can be read.
            wait_until(client, path, lambda f: f["status"] != "uploaded")
            ids.append(file_id)
        yield ids


def send(
    client: Client,
    path: Path,
    quiet: bool = False,
    columns: dict[str, str] | None = None,
    resume: str | None = None,
    purpose: str = Purpose.PAIRS,
) -> dict[str, Any]:
    """Upload with a progress bar on stderr. A large file is sent in parts; see
    `cli/client/uploads.py`.
    """
    refuse_unreadable(path)
    size_bytes = path.stat().st_size
    with bar(f"Uploading {path.name}", quiet) as show:

        def on_sent(sent_bytes: int) -> None:
            show(sent_bytes, size_bytes)

        if resume or size_bytes > in_parts.ABOVE_BYTES:
            return in_parts.send(client, path, on_sent, resume, columns, purpose)
        return client.upload(path, on_sent=on_sent, columns=columns, purpose=purpose)


def validated(client: Client, file_id: str, quiet: bool = False) -> dict[str, Any]:
    """Wait until a file is validated; raises CommandError when it can't be used."""
    file = file_progress.until_checked(client, file_id, quiet)
    if file["status"] == "error":
        why = in_commands(file.get("status_details") or "it could not be read.")
        raise CommandError(
            f"{file['filename']} can't be used: {why} See: oddsmith files report {file_id}",
            ExitCode.FAILED,
        )
    return file


def with_files(
    client: Client,
    body: dict[str, Any],
    files: dict[str, str | None],
    check: str,
    quiet: bool = False,
    purpose: str = Purpose.PAIRS,
) -> dict[str, Any]:
    """Return a request's body with the ids of its files, which are given as ids or paths by field.

    A path is uploaded last: before it, the rest of the request is sent to `check`, the API's path
    that refuses what would be refused later. Raises CommandError for it, and for a path that can't
    be read.
    """
    given = {field: file for field, file in files.items() if file is not None}
    paths_of(given.values())  # all are looked for before the first is sent
    paths = {field: Path(file) for field, file in given.items() if not is_id(file)}
    body = body | {field: file for field, file in given.items() if field not in paths}
    if paths:
        client.post(check, body)
    for field, path in paths.items():
        body[field] = uploaded_id(client, path, quiet, purpose)
    return body


def uploaded_id(client: Client, path: Path, quiet: bool, purpose: str = Purpose.PAIRS) -> str:
    """Upload a file, wait until it is validated, and return its id."""
    return validated(client, send(client, path, quiet, purpose=purpose)["id"], quiet)["id"]


def is_id(id_or_path: str) -> bool:
    """Whether it is the id of a file, not a path."""
    return id_or_path.startswith("file-") and not Path(id_or_path).exists()


def paths_of(ids_or_paths: Iterable[str]) -> list[Path]:
    """Those that are no ids; raises CommandError unless all of them can be uploaded."""
    paths = [Path(each) for each in ids_or_paths if not is_id(each)]
    for path in paths:
        refuse_unreadable(path)
    return paths


def refuse_unreadable(path: Path) -> None:
    """Raise CommandError unless there is a file that can be uploaded."""
    if path.is_dir():
        raise CommandError(f"{path} is a folder. Name a file of it.", ExitCode.REFUSED)
    if not path.is_file():
        raise CommandError(f"File '{path}' not found. Give a path that exists.", ExitCode.REFUSED)
