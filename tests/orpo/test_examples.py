"""Tokens on disk: read as written, made once, and equal for any number of processes."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from orpo.contract.spec import read_spec
from orpo.tokens import data, examples
from orpo.tokens.examples import Examples
from orpo.tokens.templates import load_tokenizer
from orpo.tokens.tokenize import Example, tokenize_pairs
from tests.memory import peaks
from tests.orpo import tiny_models
from tests.orpo.tiny_run import Bench, write_pairs


def load(bench: Bench, processes: int = 1, **settings: Any) -> data.Data:
    spec = read_spec(bench.spec("run", **settings))
    return data.load(spec, load_tokenizer(spec.base_model_path), processes)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    some = tiny_models.examples(seed=1, n=5)
    first, second = {"line": 1, "message": "It is a."}, {"line": 2, "message": "It is b."}
    stats = {"template": "model", "tokens": 3, "reasons": {"a": first}}
    later = stats | {"reasons": {"a": second, "b": second}}
    parts = [(some[:2], Counter(a=1), stats), (some[2:], Counter(a=2), later)]
    examples.write(tmp_path / "kept", parts)
    found = Examples.read(tmp_path / "kept")
    assert list(found) == found[:] == some
    assert found[-1] == some[-1]
    summed = {"template": "model", "tokens": 6, "reasons": {"a": first, "b": second}}
    assert examples.about(tmp_path / "kept") == ({"a": 3}, summed)
    longest = [len(e.prefix) + max(len(e.chosen), len(e.rejected or ())) for e in some]
    assert found.longest_E().tolist() == longest
    for rejected in (True, False):
        sizes = [e.n_computed(rejected=rejected) for e in some]
        assert found.tokens_E(rejected=rejected).tolist() == sizes
    sums = np.arange(10, dtype=np.float64).reshape(5, 2)
    assert [e.reference for e in found.with_references(sums)] == [tuple(row) for row in sums]
    with pytest.raises(IndexError):
        found[5]


def test_who_writes_last_takes_nothing_from_who_reads_first(tmp_path: Path) -> None:
    some = tiny_models.examples(seed=1, n=2)
    together = Barrier(2)

    def parts() -> Iterator[examples.Tokenised]:
        yield some, Counter(), {"tokens": 2}
        together.wait(10)  # both end at the same moment

    def write_and_read(folder: Path) -> list[Example]:
        examples.write(folder, parts())
        return list(Examples.read(folder))

    folders = [tmp_path / str(n) for n in range(200) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(write_and_read, folders)) == [some] * 400


def test_nothing_is_kept_too(bench: Bench) -> None:
    loaded = load(bench, held_out_fraction=0)
    assert list(loaded.held_out.examples) == []
    assert loaded.held_out.stats["tokens"] == 0


def test_tokens_are_made_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(bench)
    made: list[int] = []

    def count(pairs: list[Any], *rest: Any) -> Any:
        made.append(len(pairs))
        return tokenize_pairs(pairs, *rest)

    monkeypatch.setattr(data, "tokenize_pairs", count)
    again = load(bench, learning_rate=1e-5, strategy="ddp")
    assert list(again.train.examples) == list(first.train.examples)
    assert (again.train.dropped, again.train.stats) == (first.train.dropped, first.train.stats)
    assert made == []
    load(bench, max_length=64)
    assert sum(made) > 0
    made.clear()
    write_pairs(bench.train_path, 9, seed=5)
    assert len(load(bench).train.examples) + len(load(bench).held_out.examples) == 9
    assert sum(made) == 9


def test_processes_change_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PAIRS_A_PART", 3)
    one = load(bench)
    (kept,) = bench.folder.glob("tokens-*")
    kept.rename(bench.folder / "one")
    two = load(bench, processes=2)
    assert list(two.train.examples) == list(one.train.examples)
    assert two.train.stats == one.train.stats


@pytest.mark.slow
def test_memory_stays_flat(bench: Bench) -> None:
    sizes = {"warm": 100, "few": 1000, "many": 4000}
    benches = [replace(bench, train_path=bench.folder / f"{name}.jsonl") for name in sizes]
    for one, n in zip(benches, sizes.values(), strict=True):
        write_pairs(one.train_path, n)
    _, few, many = peaks(load_small_parts, *benches)
    assert many < few + 200_000


def load_small_parts(bench: Bench) -> None:
    data.PAIRS_A_PART = 50
    with bench.train_path.open() as rows:
        n = sum(1 for _ in rows)
    assert len(load(bench).train.examples) > n / 2


def test_what_broke_off_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(data, "tokenize_pairs", stop)
        with pytest.raises(KeyboardInterrupt):
            load(bench)
    assert not list(bench.folder.glob("tokens-*/*"))
    assert load(bench).train.examples
