"""Bytes that belong to rows: a local folder or an object store, through fsspec.

Keys are made of ids, never of names that a client chose. Knows no noun and no database.
"""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from orpo.contract.manifest import open_regular
from services.platform.settings import get_settings

PARTIAL = ".part"
CHUNK_BYTES = 2**20


def _place(key: str, **options: Any) -> tuple[Any, str]:
    filesystem, root = fsspec.core.url_to_fs(get_settings().storage_root, **options)
    return filesystem, f"{root.rstrip('/')}/{key}"


@contextmanager
def writing(key: str) -> Iterator[IO[bytes]]:
    """Open `key` for writing. It exists, synced to disk, once the block has ended without error."""
    # fsspec shares an instance within a thread, and an instance has one transaction: two uploads
    # that take turns on a thread would lose the first. So each write has an instance of its own.
    filesystem, path = _place(key, skip_instance_cache=True)
    if isinstance(filesystem, LocalFileSystem):
        with _committed(Path(path)) as partial, partial.open("wb") as file:
            yield file
    else:
        with filesystem.transaction, filesystem.open(path, "wb") as file:
            yield file


@contextmanager
def writing_path(key: str) -> Iterator[Path]:
    """Like `writing`, but yields a path to write to."""
    filesystem, path = _place(key)
    if isinstance(filesystem, LocalFileSystem):
        with _committed(Path(path)) as partial:
            yield partial
    else:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy"
            yield copy
            filesystem.put_file(str(copy), path)


@contextmanager
def _committed(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; it is synced and renamed to `target` unless the block fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        yield partial
        _sync(partial, os.O_RDONLY)
        partial.replace(target)
        _sync(target.parent, os.O_DIRECTORY)
        _sync(target.parent.parent, os.O_DIRECTORY)
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reading(key: str) -> IO[bytes]:
    """Open `key` for reading; raises FileNotFoundError, and OSError for what is no regular file."""
    filesystem, path = _place(key)
    if isinstance(filesystem, LocalFileSystem):
        return open_regular(path)
    return filesystem.open(path, "rb")


def chunks(key: str) -> Iterator[bytes]:
    """Yield the bytes of `key`, 1 MiB at a time."""
    with reading(key) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


@contextmanager
def local_copy(key: str) -> Iterator[Path]:
    """Yield a path to read `key` at: its own if the storage is a folder, else a temporary copy.

    Raises FileNotFoundError if there is no such key.
    """
    filesystem, path = _place(key)
    if isinstance(filesystem, LocalFileSystem):
        Path(path).stat()
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        with filesystem.open(path, "rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
        yield copy


def size_bytes(key: str) -> int | None:
    """Return how many bytes `key` has, or None where there is none."""
    filesystem, path = _place(key)
    try:
        return int(filesystem.size(path))
    except FileNotFoundError:
        return None


def delete(key: str | None) -> None:
    """Remove `key`; nothing happens where there is none."""
    if key is not None:
        filesystem, path = _place(key)
        with suppress(FileNotFoundError):
            filesystem.rm_file(path)


def in_folder() -> Iterator[tuple[str, Path]]:
    """Yield key and path of each file of a storage that is a folder, the partial ones too.

    Yields nothing for an object store, which does not show uploads that did not end.
    """
    filesystem, root = _place("")
    if isinstance(filesystem, LocalFileSystem):
        for path in Path(root).rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(root)), path


def used_bytes() -> int:
    """Return the bytes that all keys take."""
    filesystem, root = _place("")
    try:
        return int(filesystem.du(root.rstrip("/")))
    except FileNotFoundError:
        return 0


def remove_partial(older_than_s: float = 86_400) -> int:
    """Remove the partial files of uploads that a crash ended, and return how many there were."""
    stale = [
        path
        for _, path in in_folder()
        if path.suffix == PARTIAL and path.stat().st_mtime < time.time() - older_than_s
    ]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
