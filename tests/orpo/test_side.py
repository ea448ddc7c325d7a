"""What the audit finds in the columns of many rows is what it finds in each row."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orpo.audit import answers, copies
from orpo.audit.copies import MANY_PROMPTS, MANY_ROWS, Parts
from orpo.audit.side import sides
from orpo.audit.texts import folded_turns, text_of

REFUSAL = "I'm sorry, but I can't help with that."
CUT = "The river is long. It goes on for many miles to the sea, and the harbour is"
ASKED = "What is the longest river?"
texts = st.sampled_from(
    [REFUSAL, CUT, ASKED, f"{ASKED} It", "Yes.", " YES.\n", "é\u3000", "```\ncode", "日本", ""]
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": texts},
    optional={"reasoning_content": texts},
)
parts = st.lists(turns, min_size=1, max_size=2)
some_rows = st.lists(
    st.fixed_dictionaries(
        {"line": st.just(1), "prompt": parts, "chosen": parts, "rejected": st.none() | parts}
    ),
    min_size=1,
    max_size=6,
)


@given(some_rows)
def test_columns_hold_what_each_row_gives(rows: list[dict[str, Any]]) -> None:
    for name, side in sides(rows)._asdict().items():
        assert side.texts == [text_of(row[name]) for row in rows]
        assert side.folded == [folded_turns(row[name] or ()) for row in rows]


def found_in(row: dict[str, Any]) -> set[str]:
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    repeated = answers.repeats(prompt, chosen) or answers.repeats(prompt, rejected)
    found = {
        "whitespace": folded_turns(chosen) == folded_turns(rejected or ()),
        "refusal": answers.is_refusal(text_of(chosen)),
        "cut": answers.is_cut(text_of(chosen)),
        "repeats_prompt": repeated,
        "role_order": answers.is_out_of_order(row),
    }
    return {code for code, holds in found.items() if holds}


@given(some_rows)
def test_a_block_has_the_findings_of_its_rows(rows: list[dict[str, Any]]) -> None:
    found = set(answers.found(rows, sides(rows)))
    assert found == {(code, at) for at, row in enumerate(rows) for code in found_in(row)}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 2)), max_size=40))
def test_rows_that_repeat_or_contradict_each_other(rows: list[tuple[int, int, int]]) -> None:
    found = copies.found(Parts(*np.array(rows, np.uint64).reshape(-1, 3).T.copy()))
    prompts = {c: {p for p, chosen, _ in rows if chosen == c} for _, c, _ in rows}
    asked = [p for p, _, _ in rows]
    expected = {
        "duplicate": [rows.count(row) > 1 for row in rows],
        "contradiction": [(p, r, c) in rows and c != r for p, c, r in rows],
        "repeated_prompt": [asked.count(p) >= MANY_ROWS for p in asked],
        "repeated_answer": [len(prompts[c]) >= MANY_PROMPTS for _, c, _ in rows],
    }
    for code, flags in expected.items():
        assert found[code].places.tolist() == [at for at, flag in enumerate(flags) if flag], code
