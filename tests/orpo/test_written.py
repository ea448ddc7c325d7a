"""Pairs that are written in a shape are read as the same pairs; others are refused."""

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orpo.rows.formats import validate
from orpo.rows.messages import Message, Pair, Reject
from orpo.rows.packed import Container, pack
from orpo.rows.row_shapes import Shape, detect, parse
from orpo.rows.written import WRITABLE, check, write

OF_PAIRS = [shape for shape in WRITABLE if shape is not Shape.MESSAGES]
TEXT = st.one_of(
    st.sampled_from(["a", " a ", "\n\nHuman: a", "[]", '[{"role":"user","content":"x"}]', "é\r\n"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
).filter(lambda text: not text.isspace())


def turns(*roles: str) -> st.SearchStrategy[list[Message]]:
    return st.tuples(
        *(
            st.builds(lambda text, role=role: Message(role=role, content=text), TEXT)
            for role in roles
        )
    ).map(list)


PROMPTS = st.one_of(
    turns("user"),
    turns("system", "user"),
    turns("user", "assistant", "user"),
    turns("assistant", "user"),
)
ANSWERS = st.one_of(turns("assistant"), turns("assistant", "user", "assistant"))


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    prompt, chosen = draw(PROMPTS), draw(ANSWERS)
    # Answers that begin like the prompt or like the other answer are the ones that may get lost.
    start = draw(st.sampled_from([[], prompt if prompt[0]["role"] == "assistant" else []]))
    rejected = draw(st.one_of(ANSWERS, st.just([*chosen, *prompt[-1:], *draw(turns("assistant"))])))
    return Pair(1, prompt, [*start, *chosen], rejected)


# A transcript that begins with an answer is not detected as one.
BEGUN_BY_AN_ANSWER = Pair(
    1,
    [Message(role="assistant", content="Hello."), Message(role="user", content="Why?")],
    [Message(role="assistant", content="Because.")],
    [Message(role="assistant", content="No.")],
)


@settings(max_examples=150, deadline=None)
@given(pairs(), st.sampled_from(OF_PAIRS))
@example(BEGUN_BY_AN_ANSWER, Shape.HH_RLHF)
def test_a_pair_is_read_as_it_was_written(pair: Pair, shape: Shape) -> None:
    if pair.chosen == pair.rejected:
        return
    try:
        check(pair, shape)
    except Reject:
        # These three hold each pair.
        assert shape not in (Shape.EXPLICIT, Shape.OPENAI, Shape.RANKED)
        return
    row = orjson.loads(orjson.dumps(write(pair, shape)))
    assert detect(row) is shape
    assert parse(row, shape, 1) == pair


PLAIN = Pair(
    1,
    [Message(role="user", content="Why?")],
    [Message(role="assistant", content="Because.")],
    [Message(role="assistant", content='No, "idea",\n[sorry]')],
)


@pytest.mark.parametrize("shape", OF_PAIRS)
def test_a_plain_pair_has_a_place_in_each_shape(shape: Shape) -> None:
    check(PLAIN, shape)
    assert parse(write(PLAIN, shape), shape, 1) == PLAIN


def test_a_row_without_a_rejected_answer_has_a_place_in_one_shape() -> None:
    told = Pair(1, PLAIN.prompt, PLAIN.chosen, None)
    check(told, Shape.MESSAGES)
    with pytest.raises(Reject, match="would be lost"):
        check(PLAIN, Shape.MESSAGES)
    for shape in OF_PAIRS:
        with pytest.raises(Reject, match="no rejected answer"):
            check(told, shape)


def unpacked(content: bytes, container: Container) -> list[dict[str, Any]]:
    match container:
        case Container.PARQUET:
            return pq.read_table(io.BytesIO(content)).to_pylist()
        case Container.CSV:
            return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        case Container.JSONL_GZ:
            content = gzip.decompress(content)
        case _:
            pass
    return [orjson.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("container", Container)
def test_each_container_holds_what_was_put_into_it(container: Container, tmp_path: Path) -> None:
    n_rows = 1200  # three batches
    content = b"".join(pack((write(PLAIN, Shape.IMPLICIT) for _ in range(n_rows)), container))
    rows = unpacked(content, container)
    assert len(rows) == n_rows
    assert {detect(row) for row in rows} <= {Shape.IMPLICIT, None}
    if container is not Container.CSV:
        assert parse(rows[-1], Shape.IMPLICIT, 1) == PLAIN
    if container is Container.JSONL:
        (tmp_path / "a").write_bytes(content)
        assert validate(tmp_path / "a", "a.jsonl", None).accepted == n_rows


def test_a_csv_of_explicit_rows_is_read_as_the_same_pairs() -> None:
    content = b"".join(pack([write(PLAIN, Shape.EXPLICIT)], Container.CSV))
    (row,) = unpacked(content, Container.CSV)
    assert parse(row, Shape.EXPLICIT, 1) == PLAIN
