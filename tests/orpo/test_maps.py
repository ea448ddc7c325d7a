"""Steps that change all rows: `map`, `repair` and `language`; what each finding's repair does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from orpo.audit import recipe
from orpo.audit.audit import Accepted, audit
from orpo.audit.conditions import bad_pattern
from orpo.audit.kinds import KINDS
from orpo.audit.language_codes import LANGUAGES
from orpo.audit.make import make
from orpo.audit.preview import preview
from tests.orpo.desk import MANY, Desk, contents, pair, turn

SWAP = {"step": "swap", "lines": [1]}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def mapped(action: str, **keys: Any) -> dict[str, Any]:
    return {"step": "map", "action": action, **keys}


def counts(desk: Desk, *steps: dict[str, Any]) -> list[tuple[int, int, int]]:
    done = make(desk.sources, recipe.parse(list(steps)), desk.folder / "counted", MANY)
    return [
        (step["rows_before"], step["rows_after"], step["rows_changed"]) for step in done["steps"]
    ]


def test_a_system_prompt_is_set_replaced_and_removed(desk: Desk) -> None:
    talk = [
        turn("system", "Old."),
        turn("user", "Hi"),
        turn("assistant", "Yes?"),
        turn("user", "?"),
    ]
    desk.upload(pair("p", "a", "b"), {**pair("", "a", "b"), "prompt": talk})
    made = desk.make(mapped("system", text="New."))
    assert [row["prompt"] for row in made] == [
        [turn("system", "New."), turn("user", "p")],
        [turn("system", "New."), *talk[1:]],
    ]
    without = desk.make(mapped("system"))
    assert [row["prompt"] for row in without] == [[turn("user", "p")], talk[1:]]
    assert counts(desk, mapped("system")) == [(2, 2, 1)]


def test_white_space_at_the_ends_goes_and_what_is_no_pair_then_is_dropped(desk: Desk) -> None:
    desk.upload(pair(" p\n", "a ", "\tb"), pair("q", "c", "c "), pair("r", "a", "b"))
    assert list(map(contents, desk.make(mapped("strip")))) == [("p", "a", "b"), ("r", "a", "b")]
    assert counts(desk, mapped("strip")) == [(3, 2, 1)]
    # Of the prompt only: the other texts stay.
    first, *_ = desk.make(mapped("strip", field="prompt"))
    assert contents(first) == ("p", "a ", "\tb")


def test_a_pattern_is_replaced_with_its_groups(desk: Desk) -> None:
    desk.upload(pair("Ab ab", "xabx", "AB"), pair("c", "d", "e"))
    keys = {"pattern": "(a)b", "replacement": r"[\1]"}
    assert contents(desk.make(mapped("replace", **keys))[0]) == ("Ab [a]", "x[a]x", "AB")
    keys |= {"ignore_case": True, "field": "rejected"}
    assert contents(desk.make(mapped("replace", **keys))[0]) == ("Ab ab", "xabx", "[A]")
    assert counts(desk, mapped("replace", **keys)) == [(2, 2, 1)]


def test_thoughts_of_answers_go(desk: Desk) -> None:
    beside = {**turn("assistant", "a"), "reasoning_content": "Hm."}
    asked = [turn("user", "p"), {**turn("assistant", "x"), "reasoning_content": "Old."},
             turn("user", "q")]  # fmt: skip
    desk.upload(
        {"prompt": asked, "chosen": [beside], "rejected": [turn("assistant", "<think>?</think>b")]},
        pair("r", "<think>only</think>", "b"),
        pair("s", "c", "d"),
    )
    first, second = desk.make(mapped("thoughts"))
    answers = [first["chosen"], first["rejected"]]
    assert answers == [[turn("assistant", "a")], [turn("assistant", "b")]]
    assert first["prompt"] == asked
    assert contents(second) == ("s", "c", "d")
    assert counts(desk, mapped("thoughts")) == [(3, 2, 1)]


def test_personal_data_is_masked_everywhere(desk: Desk) -> None:
    desk.upload(
        pair("Write to joe@corp.org.", "a", "Call +1 202 555 0143 or joe@corp.org!"),
        pair("q", "a", "b"),
    )
    assert contents(desk.make(mapped("mask"))[0]) == (
        "Write to [email].", "a", "Call [phone_number] or [email]!",
    )  # fmt: skip
    only = desk.make({"step": "repair", "finding": "phone_number"})
    assert contents(only[0])[2] == "Call [phone_number] or joe@corp.org!"
    assert counts(desk, mapped("mask")) == [(2, 2, 1)]


CHATML = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n"
)
LLAMA = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)


def test_control_tokens_go_where_that_is_certain(desk: Desk) -> None:
    odd = pair("[INST] Hi [/INST]", "a</s>", "b</s>")
    desk.upload(
        pair(CHATML, "a<|im_end|>", "b<|im_end|>\n"), pair(LLAMA, "a<|eot_id|>", "b"), odd,
        pair("p", "c", "d"),
    )  # fmt: skip
    first, second, third, _ = desk.make({"step": "repair", "finding": "control_token"})
    assert first["prompt"] == [turn("system", "Be brief."), turn("user", "Hi")]
    assert contents(first)[1:] == ("a", "b")
    assert contents(second) == ("Hi", "a", "b")
    # Where one user's turn ends and whose the rest is can't be known here.
    assert contents(third) == tuple(odd.values())


def test_a_wrong_encoding_and_control_characters_are_repaired(desk: Desk) -> None:
    wrong = pair("voilÃ  le rÃ©sumÃ©", "dÃ©jÃ\xa0 vu &amp; b", "b")
    desk.upload(wrong, pair("p", "x\x07y\x0cz", "b"))
    first, second = desk.make(
        {"step": "repair", "finding": "mojibake"},
        {"step": "repair", "finding": "control_character"},
    )
    assert contents(first)[:2] == ("voilà le résumé", "déjà vu &amp; b")
    assert contents(second)[1] == "xy\nz"


def test_later_steps_see_changed_rows_and_lines_of_the_file(desk: Desk) -> None:
    desk.upload(pair(" p", "a", "b"), pair("p", "a", "b"), pair("q", "c", "d"), pair("r", "e", "f"))
    once = {"step": "deduplicate", "by": "prompt"}
    assert desk.lines(once) == [1, 2, 3, 4]
    first = {"step": "drop_rows", "lines": [3]}
    rows = desk.make(first, SWAP, mapped("strip"), once, {"step": "swap", "lines": [4]}, first)
    assert [(row["from"][1], *contents(row)) for row in rows] == [
        (1, "p", "b", "a"),
        (4, "r", "f", "e"),
    ]


def test_rows_of_several_files_are_changed_as_often_as_they_are_taken(desk: Desk) -> None:
    desk.upload(pair(" p", "a", "b"))
    desk.upload(pair("q ", "a", "b"), pair("r", "a", "b"))
    mix = {"step": "mix", "files": [{"file_id": "file-1", "weight": 2}]}
    rows = desk.make(mix, mapped("strip"), mapped("system", text="s"))
    assert [contents(row)[0] for row in rows] == ["s|p", "s|q", "s|q", "s|r", "s|r"]
    assert counts(desk, mix, mapped("strip"))[1] == (5, 5, 3)
    assert not list(desk.folder.glob("steps.*"))


def test_a_preview_shows_rows_before_and_after(desk: Desk) -> None:
    desk.upload(pair("q", "c", "c "), *(pair(f" p{n}", "a", "b") for n in range(9)))
    steps = recipe.parse(
        [mapped("strip"), mapped("system", text="s"), {"step": "swap", "lines": [2]}]
    )
    stripped, system, swapped = preview(desk.sources, steps, desk.folder)["steps"]
    assert (stripped["rows_after"], stripped["rows_changed"]) == (9, 9)
    lines = [
        (row["line"], row["after"] and contents(row["after"])[0]) for row in stripped["changed"]
    ]
    assert lines == [(1, None), (2, "p0"), (3, "p1")]
    assert contents(system["changed"][0]["before"])[0] == "p0"
    assert contents(system["changed"][0]["after"])[0] == "s|p0"
    assert [contents(row["after"])[1] for row in swapped["changed"]] == ["b"]


PINNED = "fe032de4cf343d1d8372cfccae23cf240e1616b33be59912ebb6cb65879cabe1"


def test_a_recipe_of_changes_gives_these_bytes_on_each_machine(desk: Desk) -> None:
    """A constant: versions that were made earlier must come out the same."""
    desk.upload(*(pair(f" Question {n} é", f"a{n}@corp.org", f"b{n % 5}\n") for n in range(40)))
    steps = [mapped("strip"), mapped("mask"), mapped("system", text="Be brief."),
             mapped("replace", pattern="(Q)uestion", replacement=r"\1")]  # fmt: skip
    done = make(desk.sources, recipe.parse(steps), desk.folder / "out", MANY)
    assert done["sha256"] == PINNED


ENGLISH = "The weather was lovely yesterday, so we walked along the river and talked of old times."
GERMAN = "Gestern war das Wetter sehr schön, deshalb gingen wir am Fluss entlang und redeten lange."


def test_rows_are_kept_or_dropped_by_their_language(desk: Desk) -> None:
    desk.upload(
        pair("p", ENGLISH, "b"), pair("q", GERMAN, ENGLISH), pair("r", "Hi", "Ja"),
        {"prompt": [turn("system", ENGLISH), turn("user", GERMAN)], "chosen": "a", "rejected": "b"},
    )  # fmt: skip
    english = {"step": "language", "languages": ["en"]}
    assert desk.lines(english) == [1, 3, 4]
    assert desk.lines({**english, "unknown": "drop"}) == [1]
    assert desk.lines({**english, "action": "drop"}) == [2, 3, 4]
    assert desk.lines({**english, "field": "rejected", "unknown": "drop"}) == [2]
    assert desk.lines({**english, "field": "prompt", "action": "drop"}) == [1, 2, 3, 4]
    assert desk.lines({**english, "min_letters": 600, "action": "drop"}) == [1, 2, 3, 4]


def test_the_languages_of_a_recipe_are_those_that_are_detected() -> None:
    known = LanguageIdentifier.from_model_file(MODEL_FILE).nb_classes
    assert set(map(str, known)) == LANGUAGES


GAPS: list[tuple[dict[str, Any], str]] = [
    (mapped("strip", text="x"), "has no `text`; its keys: `field`"),
    (mapped("thoughts", field="any"), "has no `field`; its keys: none"),
    (mapped("replace", pattern="x"), "needs `pattern` and `replacement`"),
    ({"step": "repair", "finding": "cut"}, "`cut` is none of the findings"),
    ({"step": "language", "languages": ["xx"]}, "`xx` is none of the languages"),
]


@pytest.mark.parametrize(("step", "sentence"), GAPS)
def test_keys_that_a_step_does_not_have(step: dict[str, Any], sentence: str) -> None:
    problem = recipe.problem(recipe.parse([step]))
    assert problem is not None
    assert sentence in problem[1]


def test_a_replacement_that_re2_can_t_use() -> None:
    assert bad_pattern("(a)", r"\1") is None
    assert "2 matches" in (bad_pattern("(a)", r"\2") or "")
    assert bad_pattern("(", "") is not None


# A row with each finding that can be planted in one row.
HAVE: dict[str, dict[str, Any]] = {
    "mojibake": pair("p", "voilÃ  le rÃ©sumÃ©", "b"),
    "control_character": pair("p", "a\x07", "b"),
    "control_token": pair("p", "a<|im_end|>", "b<|im_end|>"),
    "email": pair("p", "joe@corp.org", "b"),
    "phone_number": pair("p", "+1 202 555 0143", "b"),
    "card_number": pair("p", "4111 1111 1111 1111", "b"),
    "iban": pair("p", "DE89 3704 0044 0532 0130 00", "b"),
    "api_key": pair("p", "AKIAIOSFODNN7EXAMPLE", "b"),
    "private_key": pair("p", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", "b"),
}


def codes_of(rows: Path) -> set[str]:
    sizes = [len(row) for row in rows.read_bytes().splitlines(keepends=True)]
    offsets = np.cumsum([0, *sizes[:-1]]).astype(np.uint64)
    return set(audit(Accepted(rows, offsets), len(sizes), {}).named)


@pytest.mark.parametrize("code", sorted(HAVE))
def test_after_a_repair_its_finding_is_gone(desk: Desk, code: str) -> None:
    source = desk.upload(HAVE[code])
    assert code in codes_of(source.rows)
    desk.make({"step": "repair", "finding": code})
    assert code not in codes_of(desk.folder / "version.rows")


# The step that repairs each kind; None where no step does with certainty.
REPAIRS = {
    **dict.fromkeys(
        ("api_key", "card_number", "control_character", "email", "iban", "mojibake", "phone_number",
         "private_key"),
        "repair",
    ),
    **dict.fromkeys(
        ("contradiction", "control_token", "cut", "likely_swapped", "mixed_language",
         "refusal", "repeats_prompt", "role_mistake", "score_contradicts", "score_tie",
         "transcript", "unclear", "whitespace"),
        "drop",
    ),
    **dict.fromkeys(("duplicate", "near_duplicate"), "deduplicate"),
    **dict.fromkeys(("both_sides", "repeated_answer", "repeated_prompt", "role_order"), None),
}  # fmt: skip


def test_each_repair_is_a_step_of_a_recipe() -> None:
    named = {code: kind.repair.to_json() if kind.repair else None for code, kind in KINDS.items()}
    assert {code: found and found["step"] for code, found in named.items()} == REPAIRS
    steps = [found for found in named.values() if found]
    parsed = recipe.parse(steps)
    assert (recipe.to_json(parsed), recipe.problem(parsed)) == (steps, None)
