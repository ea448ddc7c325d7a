"""Recipes: each step on a few rows, the same bytes each time, and rows that keep their origin."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from orpo.audit import progress, recipe
from orpo.audit.found import Named
from orpo.audit.make import make
from orpo.audit.preview import PREVIEW_ROWS, preview
from orpo.audit.selection import TELL_ROWS
from orpo.contract.failures import Failure
from tests.orpo.desk import MANY, Desk, contents, pair, turn


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_version_has_the_pairs_of_its_parent_and_their_lines(desk: Desk) -> None:
    system = [turn("system", "Be brief."), turn("user", "Hi"), turn("assistant", "Yes?")]
    talk = {
        "prompt": [*system, turn("user", "Why?")],
        "chosen": [turn("assistant", "a"), turn("user", "b"), turn("assistant", "c")],
        "rejected": [turn("assistant", "d")],
    }
    # The answer begins like the prompt, which is left out where it is repeated.
    twice = [turn("assistant", "Hi"), turn("user", "p")]
    begins = {"prompt": twice, "chosen": [*twice, *twice, turn("assistant", "a")],
              "rejected": [*twice, turn("assistant", "b")]}  # fmt: skip
    told = {"messages": [turn("user", "q"), turn("assistant", "w")]}
    desk.upload(talk, begins, told, pair("p", "a", "b"))
    (source,) = desk.sources
    before = [orjson.loads(row) for row in source.rows.read_bytes().splitlines()]
    after = desk.make({"step": "sample", "n": 4})
    assert [row.pop("from") for row in after] == [["file-0", line] for line in (1, 2, 3, 4)]
    assert after == before


def test_a_version_of_a_version_names_the_lines_of_its_own_parent(desk: Desk) -> None:
    desk.upload(*(pair(f"p{n}", "a", "b") for n in range(4)))
    assert desk.lines({"step": "drop_rows", "lines": [1, 3]}) == [2, 4]
    first = desk.folder / "version.jsonl"
    desk.sources.clear()
    desk.take("file-9", first.rename(desk.folder / "first.jsonl"))
    rows = desk.make({"step": "drop_rows", "lines": [1]})
    assert [(row["from"], contents(row)[0]) for row in rows] == [(["file-9", 2], "p3")]


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"field": "prompt", "contains": "ab"}, [1]),
    ({"field": "prompt", "contains": "ab", "ignore_case": True}, [1, 2]),
    ({"field": "prompt", "contains": "ab", "action": "drop"}, [2, 3]),
    ({"field": "any", "matches": "^x+$"}, [1, 3]),
    ({"field": "chosen", "min_chars": 3}, [3]),
    ({"field": "rejected", "max_chars": 1}, [1, 3]),
    ({"field": "rejected", "min_chars": 1, "max_chars": 1, "matches": "x"}, [3]),
]


@pytest.mark.parametrize(("step", "left"), FILTERS)
def test_a_filter_keeps_or_drops_what_fulfils_its_conditions(
    desk: Desk, step: dict[str, Any], left: list[int]
) -> None:
    desk.upload(pair("ab", "xx", "é"), pair("AB", "y", "no"), pair("c", "yyy", "x"))
    assert desk.lines({"step": "filter", **step}) == left


def test_a_pattern_that_backtracks_takes_linear_time(desk: Desk) -> None:
    desk.upload(pair("a" * 100_000, "x", "y"), pair("aab", "x", "y"))
    assert desk.lines({"step": "filter", "field": "prompt", "matches": "^(a+)+b$"}) == [2]


def test_rows_of_findings_are_dropped_and_the_first_of_each_group_is_kept(desk: Desk) -> None:
    places, groups = np.array([0, 2, 3, 5], np.uint32), np.array([7, 1, 7, 1], np.uint32)
    near = Named(places, groups)
    desk.upload(*(pair(f"p{n}", "a", "b") for n in range(6)), near_duplicate=near)
    assert desk.lines({"step": "drop", "finding": "near_duplicate"}) == [2, 5]
    near_ones = {"step": "deduplicate", "by": "near"}
    assert desk.lines(near_ones) == [1, 2, 3, 5]
    assert desk.lines({"step": "deduplicate", "finding": "near_duplicate"}) == [1, 2, 3, 5]
    # The first one that an earlier step has left.
    assert desk.lines({"step": "drop_rows", "lines": [1]}, near_ones) == [2, 3, 4, 5]


def test_duplicates_by_pair_and_by_prompt(desk: Desk) -> None:
    desk.upload(pair("p", "a", "b"), pair("p", "a", "c"), pair("q", "a", "b"), pair("p", "a", "b"))
    assert desk.lines({"step": "deduplicate", "by": "pair"}) == [1, 2, 3]
    assert desk.lines({"step": "deduplicate", "by": "prompt"}) == [1, 3]
    # Rows are compared as the earlier steps have left them.
    edit = {"step": "edit", "line": 2, "rejected": "b"}
    assert desk.lines(edit, {"step": "deduplicate", "by": "pair"}) == [1, 3]


def test_after_balancing_the_longer_answer_wins_as_often_as_it_loses(desk: Desk) -> None:
    longer = [pair(f"p{n}", "long", "s") for n in range(8)]
    desk.upload(*longer, pair("q", "s", "long"), pair("r", "same", "size"), pair("t", "s", "long"))
    rows = desk.make({"step": "balance", "seed": 3})
    sizes = [tuple(len(text) for text in contents(row)[1:]) for row in rows]
    assert sorted(sizes) == [(1, 4), (1, 4), (4, 1), (4, 1), (4, 4)]
    draws = {tuple(desk.lines({"step": "balance", "seed": seed})) for seed in range(9)}
    assert len(draws) > 1


def test_no_prompt_is_on_both_sides_of_a_split(desk: Desk) -> None:
    desk.upload(*(pair(f"p{n % 20}", f"a{n}", "b") for n in range(100)))
    split = {"step": "split", "held_out": 0.25, "seed": 1}
    train, held = (desk.make({**split, "part": part}) for part in ("training", "held_out"))
    prompts = [{contents(row)[0] for row in side} for side in (train, held)]
    assert not prompts[0] & prompts[1]
    assert (len(train), len(held)) == (75, 25)
    assert sorted(row["from"][1] for row in train + held) == list(range(1, 101))
    assert desk.lines({**split, "seed": 2, "part": "held_out"}) != [r["from"][1] for r in held]


def test_samples_are_of_the_size_that_was_asked_for(desk: Desk) -> None:
    desk.upload(*(pair(f"p{n}", "a", "b") for n in range(50)))
    some = desk.lines({"step": "sample", "n": 10, "seed": 4})
    assert len(some) == 10
    assert some == sorted(set(some))
    assert some != desk.lines({"step": "sample", "n": 10, "seed": 5})
    assert len(desk.lines({"step": "sample", "fraction": 0.5})) == 25


def test_a_mix_takes_each_file_as_often_as_its_weight_says(desk: Desk) -> None:
    desk.upload(*(pair(f"p{n}", "a", "b") for n in range(4)))
    desk.upload(*(pair(f"q{n}", "a", "b") for n in range(8)))
    files = [{"file_id": "file-1", "weight": 2.5}]
    rows = desk.make({"step": "mix", "files": files})
    ids = [row["from"][0] for row in rows]
    assert (ids.count("file-0"), ids.count("file-1")) == (4, 20)
    own = {"file_id": "file-0", "weight": 0.5}
    assert len(desk.make({"step": "mix", "files": [*files, own]})) == 22
    assert (
        len(desk.make({"step": "mix", "files": files}, {"step": "deduplicate", "by": "pair"})) == 12
    )


def test_rows_are_edited_and_swapped_in_the_order_of_the_steps(desk: Desk) -> None:
    desk.upload(pair("p", "a", "b"), pair("q", "c", "d"))
    edit = {"step": "edit", "line": 1, "prompt": "new", "chosen": [turn("assistant", "A")]}
    swap = {"step": "swap", "lines": [1, 2]}
    assert list(map(contents, desk.make(edit, swap))) == [("new", "b", "A"), ("q", "d", "c")]
    assert list(map(contents, desk.make(swap, edit))) == [("new", "A", "a"), ("q", "d", "c")]


BAD: list[tuple[Sequence[dict[str, Any]], str, str]] = [
    ([{"step": "drop_rows", "lines": [1, 2]}], "recipe.0", "Step 1 (drop_rows) leaves no row"),
    ([{"step": "swap", "lines": [3]}], "recipe.0.lines", "Step 1 (swap): line 3 of file-0"),
    ([{"step": "drop", "finding": "x"}], "recipe.0.finding", "names no row with the finding x"),
    ([{"step": "edit", "line": 1, "chosen": "b"}], "recipe.0", "chosen and rejected are the same"),
    ([{"step": "edit", "line": 1, "chosen": " "}], "recipe.0", "The chosen answer is empty"),
    ([{"step": "edit", "line": 1, "rejected": [turn("user", "x")]}], "recipe.0", "makes a row"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "param", "sentence"), BAD)
def test_a_recipe_that_does_not_fit_its_file(
    desk: Desk, steps: Sequence[dict[str, Any]], param: str, sentence: str
) -> None:
    desk.upload(pair("p", "a", "b"), pair("q", "c", "d"))
    with pytest.raises(Failure) as failure:
        desk.make(*steps)
    assert failure.value.param == param
    assert sentence in failure.value.message


def test_a_version_is_no_larger_than_a_file_may_be(desk: Desk) -> None:
    desk.upload(pair("p", "a", "b"))
    with pytest.raises(Failure, match="more than the 10 bytes"):
        make(desk.sources, recipe.parse([{"step": "sample", "n": 1}]), desk.folder / "out", 10)


PINNED = "fad1a3eec808d1e3b1346dc171ca9e3a03da1bfb15a6623d35fe4dae2d06d4b4"
ALL = [
    {"step": "mix", "files": [{"file_id": "file-1", "weight": 1.5}], "seed": 1},
    {"step": "filter", "field": "any", "matches": "[0-9]", "max_chars": 9},
    {"step": "deduplicate", "by": "pair"},
    {"step": "balance", "seed": 2},
    {"step": "sample", "fraction": 0.9, "seed": 3},
    {"step": "swap", "lines": [2]},
    {"step": "split", "held_out": 0.2, "seed": 4, "part": "training"},
]


def test_a_recipe_gives_these_bytes_on_each_machine(desk: Desk) -> None:
    """A constant: versions that were made earlier must come out the same."""
    desk.upload(*(pair(f"p{n}", "a" * (n % 3), f"b{n % 5}") for n in range(1, 40) if n % 3))
    desk.upload(*(pair(f"q{n}", "aaa", f"b{n % 5}") for n in range(40)))
    steps = recipe.parse(ALL)
    first, again = (make(desk.sources, steps, desk.folder / name, MANY) for name in ("a", "b"))
    assert first == again
    assert first["rows"] > 10
    assert first["sha256"] == PINNED


def test_a_preview_counts_the_rows_of_each_step_and_shows_changed_ones(desk: Desk) -> None:
    desk.upload(*(pair(f"p{n}", "a" * 3000, "b") for n in range(10)))
    steps = [
        {"step": "drop_rows", "lines": [2, 3, 4, 5]},
        {"step": "swap", "lines": [1]},
        {"step": "edit", "line": 1, "prompt": "new"},
        {"step": "split", "held_out": 0.5},
    ]
    shown = preview(desk.sources, recipe.parse(steps), desk.folder)
    counts = [(step["rows_before"], step["rows_after"]) for step in shown["steps"]]
    assert counts == [(10, 6), (6, 6), (6, 6), (6, 3)]
    assert (shown["exact"], shown["rows_read"], shown["held_out"]) == (True, 10, 3)
    dropped, swapped, edited, _ = (step["changed"] for step in shown["steps"])
    assert [(row["line"], row["after"]) for row in dropped] == [(2, None), (3, None), (4, None)]
    assert len(dropped[0]["before"]["chosen"][0]["content"]) == 2001
    (only,) = swapped
    assert (only["line"], contents(only["after"])[:2]) == (1, ("p0", "b"))
    (only,) = edited
    assert (contents(only["before"])[0], contents(only["after"])[0]) == ("p0", "new")


def test_a_preview_of_many_rows_says_that_it_read_some(desk: Desk) -> None:
    desk.upload(*(pair(f"p{n}", "a", "b") for n in range(2 * PREVIEW_ROWS)))
    last = {"step": "drop_rows", "lines": [2 * PREVIEW_ROWS]}
    shown = preview(desk.sources, recipe.parse([last, {"step": "sample", "n": 1000}]), desk.folder)
    assert (shown["exact"], shown["rows_read"]) == (False, PREVIEW_ROWS)
    assert shown["steps"][-1]["rows_after"] == 500


NOT_A_RECIPE: list[list[dict[str, Any]]] = [
    [],
    [{"step": "other"}],
    [{"step": "sample", "n": True}],
    [{"step": "sample", "fraction": float("nan")}],
    [{"step": "drop", "finding": "a", "more": 1}],
    [{"step": "drop_rows", "lines": []}],
    [{"step": "filter", "field": "prompt", "contains": "a\0"}],
]


@pytest.mark.parametrize("steps", NOT_A_RECIPE)
def test_values_that_are_no_recipe(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        recipe.parse(steps)


SAMPLE = {"step": "sample", "n": 1}
PROBLEMS: list[tuple[list[dict[str, Any]], str]] = [
    ([SAMPLE, {"step": "mix", "files": [{"file_id": "f"}]}], "recipe.1"),
    ([{"step": "split", "held_out": 0.1}, SAMPLE], "recipe.0"),
    ([{"step": "filter", "field": "any"}], "recipe.0"),
    ([{"step": "sample"}], "recipe.0"),
    ([{"step": "sample", "n": 1, "fraction": 0.5}], "recipe.0"),
    ([{"step": "deduplicate"}], "recipe.0"),
    ([SAMPLE, {"step": "edit", "line": 1}], "recipe.1"),
    ([{"step": "mix", "files": [{"file_id": "f"}, {"file_id": "f"}]}], "recipe.0"),
]


@pytest.mark.parametrize(("steps", "param"), PROBLEMS)
def test_steps_that_don_t_go_together(steps: list[dict[str, Any]], param: str) -> None:
    problem = recipe.problem(recipe.parse(steps))
    assert problem is not None
    assert problem[0] == param


def test_a_recipe_is_stored_as_it_was_given() -> None:
    assert recipe.to_json(recipe.parse(ALL))[0]["files"] == [{"file_id": "file-1", "weight": 1.5}]
    for step in ALL:
        assert step.items() <= recipe.to_json(recipe.parse([step]))[0].items()


def test_while_it_runs_it_says_which_step_it_is_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0)
    told = list[dict[str, Any]]()
    replace = Path.replace

    def look(path: Path, target: Path) -> Path:
        told.append(orjson.loads(path.read_bytes()))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", look)
    desk.upload(*(pair(f"p{n}", "a", "b") for n in range(2 * TELL_ROWS)))
    steps = [{"step": "filter", "field": "prompt", "min_chars": 1}, {"step": "balance"}]
    make(desk.sources, recipe.parse(steps), desk.folder / "out", MANY, desk.folder / "progress")
    assert [(each["step"], each["name"], each["done"]) for each in told] == [
        (1, "filter", 0), (1, "filter", TELL_ROWS), (2, "balance", 0), (2, "balance", TELL_ROWS),
        (3, "write", 0), (3, "write", TELL_ROWS),
    ]  # fmt: skip
    about = {(each["stage"], each["steps"], each["total"], each["unit"]) for each in told}
    assert about == {("make", 3, 2 * TELL_ROWS, "rows")}
