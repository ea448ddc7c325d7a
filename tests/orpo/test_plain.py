"""The direct path of rows of three texts gives what the general form gives, and nothing more."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpo.rows.columns import HARMLESS
from orpo.rows.formats import Reject, detect, read
from orpo.rows.plain import PAIR, SPACES, plain

ODD_STARTS = ["[", "{", "\n\nHuman: ", '[{"role": "user", "content": "x"}]', "[{'role':", *SPACES]
texts = st.builds(
    str.__add__,
    st.sampled_from(["", *ODD_STARTS]),
    st.text(st.characters(codec=None) | st.sampled_from('\0\ud800"\\:'), max_size=8),
)
held = texts | st.sampled_from([None, 1, True, [], {}, ["a"], {"role": "user", "content": "a"}])
KEYS = [*HARMLESS, "system", "question", "messages", "tools", "from", "input", "label", "images"]


def general(value: Any, line: int) -> Any:
    """The normal form, and the remarks; None for a row that is refused."""
    shape = detect(value)
    try:
        pair, remarks = read(value, shape, line) if shape else (None, None)
    except Reject:
        return None
    return (pair.to_json(), remarks, str(shape)) if pair else None


@given(
    st.fixed_dictionaries(dict.fromkeys(PAIR, held)),
    st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), held, max_size=3),
)
def test_a_row_on_the_direct_path_is_that_of_the_general_form(pair: Any, more: Any) -> None:
    value = {**pair, **more}
    found = plain(value, 7)
    assert found is None or (found, [], "explicit") == general(value, 7)


@pytest.mark.parametrize("name", PAIR)
@pytest.mark.parametrize("text", [*ODD_STARTS, "", "a\0", "\ud800"])
def test_nor_is_an_odd_text_overlooked(name: str, text: str) -> None:
    value = {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea.", name: text}
    found = plain(value, 7)
    assert found is None or (found, [], "explicit") == general(value, 7)


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=3, max_size=3))
def test_usual_rows_take_it(given_texts: list[str]) -> None:
    value = {**dict(zip(PAIR, given_texts, strict=True)), "source": "a", "score_chosen": 1}
    assert (plain(value, 7) is not None) == (value["chosen"] != value["rejected"])


@pytest.mark.parametrize("value", [None, 1, [], {}, {"prompt": "a", "chosen": "b"}])
def test_other_values_do_not(value: Any) -> None:
    assert plain(value, 1) is None


def test_white_space_is_that_of_python() -> None:
    assert set(SPACES) == {chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()}
