"""Folders that others may be reading: locked while they are read, removed only when they are not.

The lock is the system's (flock), on the folder itself: it leaves no file behind, and ends with the
process.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

REMOVED = ".removed"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep `folder` from being removed within the block. Raises FileNotFoundError."""
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not folder.is_dir():  # it was removed while we waited
            raise FileNotFoundError(folder)
        yield


def remove(folder: Path) -> bool:
    """Remove a folder with all that it holds; False where it, or a folder in it, is being read.

    A missing folder counts as removed. The folder is renamed first, so that no reader finds half of
    it. May be repeated after a crash.
    """
    gone = folder.with_name(f"{folder.name}{REMOVED}")
    shutil.rmtree(gone, ignore_errors=True)  # of a removal that was cut short
    try:
        with ExitStack() as locks:
            for path in (folder, *_folders_in(folder)):
                descriptor = locks.enter_context(_opened(path))
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.rename(gone)
    except FileNotFoundError:
        return not folder.exists()
    except BlockingIOError:
        return False
    shutil.rmtree(gone)
    return True


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def size_bytes(path: Path) -> int:
    """Return the bytes that a file, or all files in a folder, take on disk; 0 if it is gone."""
    if path.is_symlink() or not path.is_dir():
        return _bytes(path)
    return sum(_bytes(Path(root) / name) for root, _, names in os.walk(path) for name in names)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def changed_at(place: Path) -> float | None:
    """Return when a file, or anything in a folder, was last written, in seconds since the epoch;
    None if it is gone.
    """
    times = []
    inside = (Path(root) / name for root, _, names in os.walk(place) for name in (".", *names))
    for path in (place, *inside):
        try:
            times.append(path.lstat().st_mtime)
        except OSError:
            continue  # it went while we looked
    return max(times, default=None)
