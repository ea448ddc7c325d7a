"""Values that are too large are cut to the limits of answers and of database rows."""

import random
from typing import Any

from services.platform.sizes import short_text, shortened, size_bytes

MAX_BYTES = 4000


def anything(dice: random.Random, depth: int = 2) -> Any:
    kind = dice.choice(["text", "number", "list", "object"] if depth else ["text", "number"])
    if kind == "text":
        return dice.choice("a\u00fc\u6f22\U0001d54f\x01") * dice.choice([1, 10, 900])
    if kind == "number":
        return dice.choice([None, True, 7, 0.5])
    count = dice.choice([1, 5, 20] if kind == "list" else [1, 3])
    items = [anything(dice, depth - 1) for _ in range(count)]
    return items if kind == "list" else {f"field {n}": item for n, item in enumerate(items)}


def test_what_is_small_stays_as_it_is_and_what_is_large_becomes_small() -> None:
    dice, cut = random.Random(0), 0
    for _ in range(100):
        value = {"one": [anything(dice) for _ in range(dice.choice([1, 50]))], "two": "b"}
        found = shortened(value, MAX_BYTES)
        if size_bytes(value) <= MAX_BYTES:
            assert found is value
            continue
        cut += 1
        assert size_bytes(found) <= MAX_BYTES
        assert found.keys() == value.keys()
        assert found["two"] == "b"
    assert 50 < cut < 100


def test_an_object_of_unknown_shape_is_cut_too() -> None:
    value = {f"{n} {'x' * 9000}": n for n in range(3000)}
    assert size_bytes(shortened(value)) < 2**17


def test_a_text_that_is_cut_says_what_is_missing() -> None:
    assert short_text("abc", 3) == "abc"
    assert short_text("x" * 2000, 3) == "xxx… [1,997 more characters]"
