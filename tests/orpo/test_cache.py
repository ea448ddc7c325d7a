"""The token cache: made once for all runs, removed if unused for long."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from orpo.contract.rundir import TOKENS_NOTE
from orpo.contract.spec import RunSpec, read_spec
from orpo.tokens import cache, data, prepare
from orpo.tokens.templates import load_tokenizer
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo.tiny_run import FORK, Bench, write_pairs


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of pairs in each call of the tokeniser."""
    sizes: list[int] = []

    def count(pairs: list[Any], *rest: Any) -> Any:
        sizes.append(len(pairs))
        return tokenize_pairs(pairs, *rest)

    monkeypatch.setattr(data, "tokenize_pairs", count)
    return sizes


def job(bench: Bench, name: str, seed: int = 0, **settings: Any) -> RunSpec:
    """A job as the platform prepares it: its own rows, and tokens in the shared cache."""
    spec = read_spec(bench.spec(name, seed=seed, **settings))
    folder = bench.folder / name / "data"
    folder.mkdir()
    update = {
        "train_path": Path(shutil.copy(bench.train_path, folder / "train.jsonl")),
        "held_out_path": write_pairs(folder / "held_out.jsonl", 5, seed=9),
        "tokens_path": bench.folder / "tokens",
    }
    return spec.model_copy(update=update)


def load(spec: RunSpec) -> data.Data:
    return data.load(spec, load_tokenizer(spec.base_model_path))


def test_another_job_on_the_same_pairs_makes_none(bench: Bench, made: list[int]) -> None:
    first = load(job(bench, "first"))
    assert sum(made) == 25
    made.clear()
    again = load(job(bench, "again", seed=1, learning_rate=1e-5, held_out_fraction=0.3))
    assert list(again.train.examples) == list(first.train.examples)
    assert list(again.held_out.examples) == list(first.held_out.examples)
    assert made == []
    load(job(bench, "shorter", max_length=64))
    assert sum(made) == 25


def test_a_seed_that_splits_the_rows_makes_other_tokens(bench: Bench, made: list[int]) -> None:
    for seed in (0, 1):
        made.clear()
        load(read_spec(bench.spec(f"run-{seed}", seed=seed)))
        assert sum(made) == 20


def test_what_was_damaged_is_made_again(bench: Bench, made: list[int]) -> None:
    tokens = list(load(job(bench, "first")).train.examples)
    (ids,) = bench.folder.glob("tokens/*/train/ids.bin")
    os.truncate(ids, 10)
    made.clear()
    assert list(load(job(bench, "again")).train.examples) == tokens
    assert sum(made) == 20


def test_jobs_that_make_the_same_at_once_all_have_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> Any:
        time.sleep(0.02)
        return tokenize_pairs(*arguments)

    monkeypatch.setattr(data, "tokenize_pairs", slow)
    monkeypatch.setattr(data, "PAIRS_A_PART", 2)
    specs = [job(bench, f"job-{n}") for n in range(3)]
    children = [FORK.Process(target=prepare.prepare, args=(spec,)) for spec in specs]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    (entry,) = (bench.folder / "tokens").iterdir()
    assert {path.name for path in entry.iterdir()} == {"train", "held_out"}


def test_what_nobody_used_for_long_goes_and_who_reads_it_reads_on(bench: Bench) -> None:
    spec = job(bench, "job")
    loaded = load(spec)
    tokens = list(loaded.train.examples)
    (entry,) = (bench.folder / "tokens").iterdir()
    long_ago = time.time() - cache.UNUSED_S - 1
    _age(entry, long_ago)
    cache.folder(spec, spec.method.model_copy(update={"max_length": loaded.max_length}))
    cache.prune(spec)
    assert entry.is_dir()  # the lookup counts as use
    _age(entry, long_ago)
    cache.prune(spec)
    assert list((bench.folder / "tokens").iterdir()) == []
    assert list(loaded.train.examples) == tokens
    assert list(load(spec).train.examples) == tokens


def test_of_what_is_half_made_only_what_nobody_writes_goes(bench: Bench) -> None:
    spec = job(bench, "job")
    load(spec)
    (entry,) = (bench.folder / "tokens").iterdir()
    alive, dead = entry / "train.a.tmp", entry / "train.b.tmp"
    for half in (alive, dead):
        half.mkdir()
        (half / "ids.bin").touch()
    hours_ago = time.time() - 2 * cache.HALF_MADE_S
    _age(dead, hours_ago)
    os.utime(alive, (hours_ago, hours_ago))
    cache.prune(spec)
    assert alive.is_dir()
    assert not dead.exists()


def _age(folder: Path, when: float) -> None:
    """Set the modification time of the folder and of all inside it."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (when, when))


def test_the_rows_tell_which_tokens_are_made_of_them(bench: Bench) -> None:
    """A note next to the rows names the tokens, so that both can be deleted together."""
    spec = job(bench, "job")
    load(spec)
    load(spec)
    load(job(bench, "shorter", max_length=64))
    notes = [bench.folder / name / "data" / TOKENS_NOTE for name in ("job", "shorter")]
    names = [note.read_text().splitlines() for note in notes]
    assert [len(each) for each in names] == [1, 1]
    made = {entry.name for entry in (bench.folder / "tokens").iterdir()}
    assert {name for each in names for name in each} == made
