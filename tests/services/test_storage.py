"""Storage: an object is complete or absent, in a folder and in an object store."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.platform import storage
from services.platform.settings import get_settings


@pytest.fixture(params=["folder", "memory"])
def kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    url = tmp_path.as_uri() if request.param == "folder" else f"memory://{tmp_path.name}"
    monkeypatch.setenv("ODDSMITH_STORAGE_URL", url)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def write_and_fail(key: str) -> None:
    with storage.writing(key) as sink:
        sink.write(b"half")
        raise RuntimeError


def test_a_key_is_written_read_and_deleted(kept: None) -> None:
    with storage.writing("files/a") as sink:
        sink.write(b"x" * (storage.CHUNK_BYTES + 1))
    assert [len(chunk) for chunk in storage.chunks("files/a")] == [storage.CHUNK_BYTES, 1]
    with storage.local_copy("files/a") as path:
        assert path.stat().st_size == storage.CHUNK_BYTES + 1
    with storage.writing_path("files/a") as path:
        path.write_bytes(b"new")
    assert storage.reading("files/a").read() == b"new"
    storage.delete("files/a")
    storage.delete("files/a")
    with pytest.raises(FileNotFoundError):
        storage.reading("files/a")


def test_a_write_that_fails_leaves_what_was_there(kept: None, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_and_fail("files/b")
    with pytest.raises(FileNotFoundError):
        storage.reading("files/b")
    with storage.writing("files/b") as sink:
        sink.write(b"whole")
    with pytest.raises(RuntimeError):
        write_and_fail("files/b")
    assert storage.reading("files/b").read() == b"whole"
    assert not list(tmp_path.rglob("*.part"))


def test_two_writes_that_take_turns_on_a_thread_both_arrive(kept: None) -> None:
    with storage.writing("files/first") as first, storage.writing("files/second") as second:
        first.write(b"1")
        second.write(b"2")
    assert storage.reading("files/first").read() == b"1"
    assert storage.reading("files/second").read() == b"2"


def test_only_old_remains_of_crashes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODDSMITH_STORAGE_URL", tmp_path.as_uri())
    get_settings.cache_clear()
    old, new = tmp_path / "a.part", tmp_path / "b.part"
    for path in (old, new):
        path.touch()
    long_ago = time.time() - 90_000
    os.utime(old, (long_ago, long_ago))
    assert storage.remove_partial() == 1
    assert (old.exists(), new.exists()) == (False, True)
    get_settings.cache_clear()


def test_what_is_no_regular_file_is_not_waited_for(settings_from: Any, tmp_path: Path) -> None:
    settings_from(storage_url=tmp_path.as_uri())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a FIFO, not a regular file"):
        storage.reading("pipe")
