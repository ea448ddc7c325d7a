"""Fixtures of the core's tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.orpo.tiny_run import Bench, write_base, write_pairs


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random base model, made once per session."""
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def bench(tmp_path: Path, tiny_base: Path) -> Bench:
    """A folder for runs on 20 generated pairs, of which 4 are held out."""
    return Bench(tmp_path, tiny_base, write_pairs(tmp_path / "pairs.jsonl", 20))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Callable[..., Path]:
    """Make one-process runs like those of `bench`; once per test file for the same settings."""
    folder = tmp_path_factory.mktemp("undisturbed")
    bench = Bench(folder, tiny_base, write_pairs(folder / "pairs.jsonl", 20))
    made: dict[str, Path] = {}

    def run(**settings: Any) -> Path:
        key = repr(sorted(settings.items()))
        if key not in made:
            made[key] = bench.run(f"run-{len(made)}", **settings)
        return made[key]

    return run


@pytest.fixture(autouse=True)
def _sigterm(sigterm: None) -> None:
    """A run in this process replaces the handler."""
