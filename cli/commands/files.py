"""`oddsmith files`: upload files of pairs or prompts and read what their validation found.

Also turns an id or a path into the id of a validated file, for `oddsmith jobs create`.
"""

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.client import uploads
from cli.client.http import Client, connect, segment, wait_until
from cli.commands import deep_audits, file_progress, overlaps, rows, versions
from cli.commands.arguments import FileId
from cli.view import audit, output
from cli.view.output import CommandError, ExitCode, Json, Unmask
from cli.view.progress import bar
from orpo.rows.column_names import parse_columns
from orpo.rows.suggested import as_option

app = output.noun("Upload files of pairs or prompts and read their reports.")
for _command in (rows.rows, rows.dropped, rows.statistics):
    output.command(app, _command.__name__)(_command)

# What is said of accepted rows, by code.
REMARKS = {
    "unused_key": "this key is not read",
    "spelled_messages": "text that spells messages in JSON, which were read",
    "duplicate_key": "this key stands twice in an object; the last value was read",
}

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


@output.command(app, "upload")
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


@output.command(app, "reread")
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
        output.say(f"{file['id']}  {file['status']}")
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


@output.command(app, "list")
def list_files(as_json: Json = False) -> None:
    """List the files, newest first."""
    files = connect().items("/v1/files")
    if as_json:
        output.emit(files)
        return
    output.table(
        ["id", "purpose", "status", "size", "uploaded", "name"],
        [
            [
                f["id"],
                f["purpose"],
                output.status(f["status"]),
                output.size(f["bytes"]),
                output.when(f["created_at"]),
                f["filename"],
            ]
            for f in files
        ],
        "There are no files yet. Add one with: oddsmith files upload PATH",
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
        show_tokens(file_id, line, str(model), as_json)
        return
    file = connect().get(f"/v1/files/{segment(file_id)}")
    if as_json:
        output.emit(file)
        return
    output.details(
        [
            ("id", file["id"]),
            ("name", file["filename"]),
            ("status", output.status(file["status"])),
            ("details", file.get("status_details")),
            ("progress", file_progress.share(found) if (found := file.get("progress")) else None),
            ("size", output.size(file["bytes"])),
            ("uploaded", output.when(file["created_at"])),
            *(("made of", parent["id"]) for parent in file.get("parents") or ()),
        ]
    )


def show_tokens(file_id: str, line: int, model: str, as_json: bool) -> None:
    """Print a row as the base model's template renders it, what is trained in brackets."""
    found = connect().get(f"/v1/files/{segment(file_id)}/rows/{line}/tokens", model=model)
    if as_json:
        output.emit(found)
        return
    if found["dropped"]:
        output.say(f"A run leaves line {line} out ({found['dropped']}). {found['why']}")
        return
    for name in ("prefix", "chosen", "rejected"):
        if (part := found[name]) is not None:
            output.say(f"{name}: tokens {part['n_tokens']}, trained {part['n_trained']}")
            output.say(_marked(part["tokens"]))
            if (more := part["n_tokens"] - len(part["tokens"])) > 0:
                output.say(f"  … and {more} more.")
    if found["truncated"]:
        output.say("The row is longer than max_length: it was cut.")
    if found.get("reasoning_stripped"):
        output.say("The chat template leaves out the thoughts of the answers: they were removed.")
    if found.get("history_thoughts_dropped"):
        output.say("The chat template leaves out thoughts of earlier turns.")


def _marked(tokens: list[dict[str, Any]]) -> Text:
    text = Text("  ")
    for trained, some in groupby(tokens, lambda token: token["trained"]):
        part = output.plain("".join(token["text"] for token in some)).replace("\n", "⏎\n  ")
        text.append(f"⟦{part}⟧" if trained else part, "green" if trained else "dim")
    text.rstrip()
    return text


@output.command(app, "report")
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


output.command(app, "make")(versions.make)
output.command(app, "versions")(versions.versions)
output.command(app, "export")(versions.export)


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
    with uploaded(client, against, quiet=as_json) as ids, bar("Comparing prompts", as_json):
        path = f"/v1/files/{segment(file_id)}/overlaps"
        found = client.get(path, against=ids, unmask=unmask or None)
    if recipe is not None and overlaps.lines_of(found):
        overlaps.write(found, recipe)
    if as_json:
        output.emit(found)
    else:
        names = dict(zip(ids, against, strict=True))
        overlaps.show(found, [names[each["file_id"]] for each in found["against"]], recipe)


@contextmanager
def uploaded(client: Client, ids_or_paths: list[str], quiet: bool) -> Iterator[list[str]]:
    """Yield the ids of files. Those that are paths are uploaded, and deleted in the end."""
    ids: list[str] = []
    with ExitStack() as stack:
        for each in ids_or_paths:
            if not Path(each).exists() and each.startswith("file-"):
                ids.append(each)
                continue
            file_id = send(client, Path(each), quiet)["id"]
            path = f"/v1/files/{segment(file_id)}"
            stack.callback(client.delete, path)
            # A file of prompts has no pair: its status is `error`, and its prompts can be read.
            wait_until(client, path, lambda f: f["status"] != "uploaded")
            ids.append(file_id)
        yield ids


@output.command(app, "delete")
def delete(file_id: FileId, as_json: Json = False) -> None:
    """Delete a file that no job uses."""
    deleted = connect().delete(f"/v1/files/{segment(file_id)}")
    output.emit_or_say(deleted, as_json, f"Deleted {file_id}.")


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


def send(
    client: Client,
    path: Path,
    quiet: bool = False,
    columns: dict[str, str] | None = None,
    resume: str | None = None,
    purpose: str = Purpose.PAIRS,
) -> dict[str, Any]:
    """Upload with a progress bar on stderr. A large file is sent in parts; see `uploads.send`."""
    if path.is_dir():
        raise CommandError(f"{path} is a folder. Name a file of it.", ExitCode.REFUSED)
    if not path.is_file():
        raise CommandError(f"File '{path}' not found. Give a path that exists.", ExitCode.REFUSED)
    size_bytes = path.stat().st_size
    with bar(f"Uploading {path.name}", quiet) as show:

        def on_sent(sent_bytes: int) -> None:
            show(sent_bytes, size_bytes)

        if resume or size_bytes > uploads.ABOVE_BYTES:
            return uploads.send(client, path, on_sent, resume, columns, purpose)
        return client.upload(path, on_sent=on_sent, columns=columns, purpose=purpose)


def validated(client: Client, file_id: str, quiet: bool = False) -> dict[str, Any]:
    """Wait until a file is validated; raises CommandError when it can't be used."""
    file = file_progress.until_checked(client, file_id, quiet)
    if file["status"] == "error":
        why = file.get("status_details") or "it could not be read"
        raise CommandError(
            f"{file['filename']} can't be used: {why} See: oddsmith files report {file_id}",
            ExitCode.FAILED,
        )
    return file


def file_id_of(
    client: Client, id_or_path: str, quiet: bool = False, purpose: str = Purpose.PAIRS
) -> str:
    """Return an id unchanged; upload a path for `purpose` and wait until it is validated."""
    path = Path(id_or_path)
    if not path.exists() and id_or_path.startswith("file-"):
        return id_or_path
    file = send(client, path, quiet, purpose=purpose)
    return validated(client, file["id"], quiet)["id"]
