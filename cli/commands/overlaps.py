"""What `oddsmith files overlap` prints and writes; `files.py` registers the command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.view import output
from cli.view.output import CommandError, ExitCode

KINDS = {"same": "the same prompt", "near": "nearly the same prompt"}
TEXT = 160  # characters of a prompt that are shown
DROPPED_BY_LINE = 10  # rows that the suggested command names one by one


def show(found: dict[str, Any], names: list[str], recipe: Path | None) -> None:
    """Print which rows overlap, with the first of each kind, and how to drop them."""
    rows = found["rows"]
    output.table(
        ["against", "prompts", *KINDS.values()],
        [
            [name, each["prompts"], *(_share(each[kind]["rows"], rows) for kind in KINDS)]
            for name, each in zip(names, found["against"], strict=True)
        ],
        "",
    )
    for name, each in zip(names, found["against"], strict=True):
        if each["without_prompt"]:
            output.say(f"In {each['without_prompt']} rows of {name} no prompt was found.")
        for kind, title in KINDS.items():
            for line in _pairs(each[kind], title, name):
                output.say(line)
    lines = lines_of(found)
    if not lines:
        output.say(f"None of {rows} rows overlap.")
        return
    output.say("")
    counts = " and ".join(f"{_share(found[kind]['rows'], rows)} {KINDS[kind]}" for kind in KINDS)
    output.say(f"Of {rows} rows, {counts}. {found['message']}")
    output.say(f"Drop them with: {_command(found['file_id'], lines, recipe)}")


def _pairs(of_kind: dict[str, Any], title: str, name: str) -> Iterator[str]:
    if not of_kind["pairs"]:
        return
    yield ""
    yield f"{title[0].upper()}{title[1:]}:"
    for pair in of_kind["pairs"]:
        share = "" if pair["similarity"] == 1 else f"  {pair['similarity']:.0%} alike"
        yield f"line {pair['line']} and line {pair['against_line']} of {name}{share}"
        yield f"  {_short(pair['prompt'])}"
        if _short(pair["prompt"]) != _short(pair["against_prompt"]):
            yield f"  {_short(pair['against_prompt'])}"
    if (more := of_kind["rows"] - len(of_kind["pairs"])) > 0:
        yield f"… and {more} more."


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= TEXT else f"{words[:TEXT]}…"


def _share(count: int, of: int) -> str:
    return f"{count} ({count / max(1, of):.1%})"


def lines_of(found: dict[str, Any]) -> list[int]:
    """The lines of all rows that overlap, ascending, as far as the API names them."""
    return sorted({*found["same"]["lines"], *found["near"]["lines"]})


def _command(file_id: str, lines: list[int], recipe: Path | None) -> str:
    start = f"oddsmith files make {file_id}"
    if recipe is not None:
        return f"{start} --recipe {recipe}"
    if len(lines) <= DROPPED_BY_LINE:
        return " ".join([start, *(f"--drop-line {line}" for line in lines)])
    return f"oddsmith files overlap … --recipe drop.json, then {start} --recipe drop.json"


def write(found: dict[str, Any], recipe: Path) -> None:
    """Write a recipe that drops the rows that overlap. Raises CommandError if it can't."""
    kinds = [found[kind]["lines"] for kind in KINDS]
    steps = [{"step": "drop_rows", "lines": lines} for lines in kinds if lines]
    try:
        recipe.write_text(json.dumps(steps) + "\n")
    except OSError as error:
        raise CommandError(
            f"{recipe} can't be written: {error.strerror}.", ExitCode.USAGE
        ) from None
