"""`oddsmith files rows`, `dropped` and `statistics`: what is in a file, and how large it is for a
base model.

The functions behind the commands; `files.py` registers them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import typer

from cli.client.http import connect, segment
from cli.commands.arguments import FileId
from cli.view import output
from cli.view.output import Json, Unmask

TEXT = 160  # characters of a text that are shown
PAGE = 100
LINES = 10
SIDES = ("prompt", "chosen", "rejected", "sequence")


def rows(
    file_id: FileId,
    finding: Annotated[
        str | None, typer.Option("--finding", help="A finding's code: its rows alone.")
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", help="A text that the rows hold, in any case.")
    ] = None,
    offset: Annotated[
        int, typer.Option("--offset", min=0, help="Begin at this row, counted from 0.")
    ] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 10,
    unmask: Unmask = False,
    as_json: Json = False,
) -> None:
    """Show accepted rows: all, those of a finding, or those that hold a text."""
    path = f"/v1/files/{segment(file_id)}/rows"
    shown: list[dict[str, Any]] = []
    position: int | None = offset
    page: dict[str, Any] = {}
    while position is not None and len(shown) < limit:
        size = min(PAGE, limit - len(shown))
        page = connect().get(
            path, offset=position, limit=size, finding=finding, search=search, unmask=unmask or None
        )
        shown += page["data"]
        position = page["next_offset"]
    if as_json:
        output.emit({**page, "data": shown, "offset": offset})
        return
    for row in shown:
        _show_row(row)
    _say_if_masked(shown)
    if not shown:
        output.say("No row fits.")
    elif position is not None:
        output.say(f"More rows follow. Go on with: --offset {position}")


def _show_row(row: dict[str, Any]) -> None:
    group = "" if row["group"] is None else f"  group {row['group']}"
    codes = f"  {', '.join(row['findings'])}" if row["findings"] else ""
    output.say(f"line {row['line']}{group}{codes}")
    for side in SIDES[:3]:
        if row[side] is not None:
            output.say(f"  {side:<8}  {_short(row[side])}")


def _say_if_masked(rows: Iterable[dict[str, Any]]) -> None:
    if any(row.get("masked") for row in rows):
        output.say("Personal data and secrets are masked; --unmask shows them.")


def _short(turns: Iterable[dict[str, Any]]) -> str:
    """The messages in one line, each after the first with its role."""
    texts = [" ".join(str(turn.get("content") or "").split()) for turn in turns]
    return _cut(" / ".join(texts))


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]}…"


def dropped(
    file_id: FileId,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100, help="Show at most so many.")
    ] = 20,
    offset: Annotated[
        int, typer.Option("--offset", min=0, help="Begin at this one, counted from 0.")
    ] = 0,
    unmask: Unmask = False,
    as_json: Json = False,
) -> None:
    """Show dropped rows: why, and their text as it stands in the file."""
    path = f"/v1/files/{segment(file_id)}/dropped"
    page = connect().get(path, limit=limit, offset=offset, unmask=unmask or None)
    if as_json:
        output.emit(page)
        return
    for row in page["data"]:
        column = "" if row["column"] is None else f", column {row['column']}"
        output.say(f"line {row['line']}{column}  {row['code']}: {row['message']}")
        output.say(f"  {_original(row)}")
    _say_if_masked(page["data"])
    if not page["total"]:
        output.say("No row was dropped.")
    elif (more := page["total"] - offset - len(page["data"])) > 0:
        output.say(f"… and {more} more. The first hundred are kept.")


def _original(row: dict[str, Any]) -> str:
    if row["text"] is None:
        return "(its text can't be shown)"
    start = "" if row["first_character"] == 1 else f"… from character {row['first_character']}: "
    return start + _cut(" ".join(row["text"].split()))


def statistics(
    file_id: FileId,
    model: Annotated[str, typer.Option("--model", help="The base model whose tokens count.")],
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=8, help="Longest sequence, in tokens.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show tokens, turns and steps for a base model, counted on a sample of the rows."""
    path = f"/v1/files/{segment(file_id)}/statistics"
    found = connect().get(path, model=model, max_length=max_length)
    if as_json:
        output.emit(found)
        return
    output.say(f"Counted on {found['sampled']} of {found['rows']} rows.")
    output.table(
        ["tokens", "mean", "p50", "p95", "max", "from 0 to max"],
        [_spread(side, found["tokens"][side]) for side in SIDES if found["tokens"][side]],
        "No row could be tokenised.",
    )
    output.say("")
    output.details(_facts(found))
    for line in _repairs(found):
        output.say(line)


def _repairs(found: dict[str, Any]) -> Iterator[str]:
    """Which pairs a run would cut or leave out, why that matters, and what helps."""
    cut = found["cut"]
    if cut["message"]:
        yield ""
        yield cut["message"]
        if cut["lines"]:
            yield f"Cut: {_lines(cut['lines'], cut['trained'])}"
        for repair in cut["repairs"]:
            rest = f"{repair['longer']} pairs are longer" if repair["longer"] else "none is longer"
            yield f"With max_length {repair['max_length']}, {rest}."
        if not cut["repairs"]:
            yield "The base model reads no more than that: shorten these pairs, or drop them."
    for reason in found["left_out"]:
        yield ""
        yield f"Left out ({reason['code']}): {_lines(reason['lines'], reason['pairs'])}"
        yield f"{reason['message']} {reason['hint']}"


def _lines(lines: Sequence[int], pairs: int) -> str:
    more = "…" if pairs > len(lines[:LINES]) else ""
    return f"line{'' if pairs == 1 else 's'} {', '.join(map(str, lines[:LINES]))}{more}"


def _spread(side: str, spread: dict[str, Any]) -> list[Any]:
    name = "longer sequence" if side == "sequence" else side
    figures = (spread["p50"], spread["p95"], spread["max"])
    counts = spread["histogram"]
    return [name, f"{spread['mean']:.0f}", *figures, output.sparkline(counts, len(counts))]


def _facts(found: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    sampled, job = max(1, found["sampled"]), found["job"]
    cut = found["cut"]
    yield f"longer than {found['max_length']}", _share(cut["longer"], sampled)
    yield "of them cut", cut["trained"] or None
    for why, count in found["dropped"].items():
        yield f"left out: {why}", _share(count, sampled)
    yield "turns", ", ".join(f"{part['turns']}: {part['pairs']}" for part in found["turns"])
    yield "roles", ", ".join(f"{role}: {count}" for role, count in found["roles"].items())
    if found["saved_by_sharing"] is not None:
        yield "saved by sharing", f"{found['saved_by_sharing']:.0%} of tokens"
    if job is not None:
        yield "job", f"{job['pairs']} pairs, {job['steps']} steps, {job['tokens']} tokens"
        speed = job["speed"]
        time = f"{output.duration(job['train_s'])} on {speed['device']}" if speed else None
        yield "training takes", time or "not measured yet: see oddsmith jobs estimate"


def _share(count: int, of: int) -> str:
    return f"{count} ({count / of:.1%})"
