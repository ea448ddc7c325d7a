"""`oddsmith files make`, `versions` and `export`: versions of files by recipes, and other shapes.

The commands are registered in `files.py`.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client.http import Client, connect, segment
from cli.client.operations import in_commands
from cli.commands import contents, file_progress
from cli.commands.arguments import FileId
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json

SHAPES = "explicit, openai, implicit, hh_rlhf, sharegpt, ranked, ms_swift or messages"
CONTAINERS = ("jsonl.gz", "jsonl", "csv", "parquet")


def make(
    file_id: FileId,
    *,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="A JSON file with the steps, - for stdin.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", help="Drop the rows of this finding.")
    ] = None,
    drop_line: Annotated[
        list[int] | None, typer.Option("--drop-line", help="Drop this line.")
    ] = None,
    swap_line: Annotated[
        list[int] | None, typer.Option("--swap-line", help="Exchange the answers of this line.")
    ] = None,
    swap: Annotated[
        list[str] | None,
        typer.Option("--swap", help="Exchange the answers of this finding's rows."),
    ] = None,
    deduplicate: Annotated[
        str | None, typer.Option("--deduplicate", help="Keep the first by pair, prompt or near.")
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="The longer answer wins as often as it loses.")
    ] = False,
    sample: Annotated[
        float | None, typer.Option("--sample", help="Draw this many rows, or this share below 1.")
    ] = None,
    split: Annotated[
        float | None, typer.Option("--split", help="Hold out this share, by prompt: two files.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The seed of draws and splits.")] = 0,
    name: Annotated[str | None, typer.Option("--name", help="The name of the version.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what the recipe would do; make nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is validated.")] = False,
    as_json: Json = False,
) -> None:
    """Make another version of a file. The steps of --recipe come first, then the short forms in
    the order in which --help lists them.
    """
    steps = [*_read(recipe), *_of_rows(drop, drop_line, swap_line, swap)]
    if deduplicate:
        steps.append({"step": "deduplicate", "by": deduplicate})
    if balance:
        steps.append({"step": "balance", "seed": seed})
    if sample is not None:
        drawn = {"fraction": sample} if sample < 1 else {"n": int(sample)}
        steps.append({"step": "sample", **drawn, "seed": seed})
    if split is not None:
        steps.append({"step": "split", "held_out": split, "seed": seed})
    if not steps:
        raise CommandError("Give --recipe or one of the short forms.", ExitCode.USAGE)
    path, client = f"/v1/files/{segment(file_id)}/versions", connect()
    if preview:
        _show(client.post(f"{path}/preview", {"recipe": steps}), as_json)
        return
    made = client.post(path, {"recipe": steps, "filename": name})["data"]
    if wait:
        made = [_processed(client, file["id"], as_json) for file in made]
    if as_json:
        output.emit(made)
        return
    for file in made:
        parts = file["id"], file_progress.state(file), file_progress.rows(file), file["filename"]
        output.say("  ".join(filter(None, parts)))


def _read(recipe: Path | None) -> list[dict[str, Any]]:
    """The steps of a JSON file: an array, or an object with `recipe`."""
    if recipe is None:
        return []
    try:
        text = typer.get_text_stream("stdin").read() if str(recipe) == "-" else recipe.read_text()
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise CommandError(f"{recipe} is no recipe: {error}.", ExitCode.USAGE) from None
    steps = found.get("recipe") if isinstance(found, dict) else found
    if not isinstance(steps, list):
        raise CommandError(f"{recipe} is no recipe: it has no array of steps.", ExitCode.USAGE)
    return steps


def _of_rows(
    drop: list[str] | None,
    drop_line: list[int] | None,
    swap_line: list[int] | None,
    swap: list[str] | None,
) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"step": "drop", "finding": code} for code in drop or ()]
    if drop_line:
        steps.append({"step": "drop_rows", "lines": drop_line})
    if swap_line:
        steps.append({"step": "swap", "lines": swap_line})
    steps += [{"step": "swap", "finding": code} for code in swap or ()]
    return steps


def _processed(client: Client, file_id: str, quiet: bool) -> dict[str, Any]:
    """Wait until a version is validated; raises CommandError if it can't be made or used."""
    file = file_progress.until_checked(client, file_id, quiet)
    if file["status"] == "error":
        raise CommandError(f"{file_id}: {in_commands(file['status_details'])}", ExitCode.FAILED)
    return file


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.emit(found)
        return
    show_steps(found["steps"])
    if found["held_out"] is not None:
        output.say(f"{found['held_out']} rows are held out.")
    if not found["exact"]:
        output.say(f"These are counts of the first {found['rows_read']} rows.")


def show_steps(steps: list[dict[str, Any]]) -> None:
    """Print how many rows each step of a recipe gets, leaves and changes."""
    rows = [
        [at, step["step"], step["rows_before"], step["rows_after"], step["rows_changed"]]
        for at, step in enumerate(steps, start=1)
    ]
    output.table(["", "step", "rows before", "rows after", "rows changed"], rows, "")


def versions(file_id: FileId, as_json: Json = False) -> None:
    """List the files that recipes made of a file, newest first."""
    found = connect().items(f"/v1/files/{segment(file_id)}/versions")
    if as_json:
        output.emit(found)
        return
    rows = [
        [
            file["id"],
            output.status(file_progress.state(file)),
            file["accepted"],
            ", ".join(step["step"] for step in file["recipe"] or ()),
            output.when(file["created_at"]),
            file["filename"],
        ]
        for file in found
    ]
    output.table(
        ["id", "state", "pairs", "recipe", "made", "name"],
        rows,
        f"There is no version of it. Make one with: oddsmith files make {file_id} --drop …",
    )


def export(
    file_id: FileId,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the export is written.")],
    shape: Annotated[str, typer.Option("--shape", help=SHAPES)] = "explicit",
    container: Annotated[
        str | None,
        typer.Option("--container", help="jsonl, jsonl.gz, csv or parquet; by default that of -o."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the accepted rows of a file in another shape and container."""
    ending = next((end for end in CONTAINERS if out.name.endswith(f".{end}")), "jsonl")
    wanted = {"shape": shape, "container": container or ending}
    path = f"/v1/files/{segment(file_id)}/export"
    written = contents.save(connect(), path, out, as_json, **wanted)
    done = {"path": str(out), "bytes": written, **wanted}
    output.emit_or_say(done, as_json, f"{out}: {output.size(written)}")
