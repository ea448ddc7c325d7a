"""A stack's files outside its folder while it runs: temporary files, sockets, shared memory.

They are removed when the stack ends, or, if it was killed, at the next `up` or `down`. A note in
the stack's folder lists them. Knows no part by name.
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.stack.binaries import OPEN_FOLDERS
from cli.stack.errors import StackError
from cli.stack.files import write_private
from cli.stack.leash import descendants

PREFIX = "oddsmith-run-"
# A Unix socket's path has at most 107 bytes, and an engine adds up to 60 to the path of its folder.
LONGEST_PARENT = 30
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's folder
# A new segment is searched in our processes this many times; then it counts as foreign.
LOOKS, LOOK_EVERY_S = 5, 1.0

# A segment's name and inode, because another segment may get the same name later.
Segment = tuple[str, int]


class Runtime:
    def __init__(self, note: Path) -> None:
        self.note = note
        self.temporary: Path | None = None
        self._ours: dict[Segment, list[int]] = {}
        self._others: dict[Segment, int] = {}
        self._next_look = 0.0

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """Yield a private folder for temporary files. Only for the holder of the stack's lock."""
        self.clear()
        self.temporary = make_folder()
        self._write()
        locked = os.open(self.temporary, os.O_RDONLY | os.O_DIRECTORY)
        # systemd-tmpfiles skips locked folders.
        fcntl.flock(locked, fcntl.LOCK_SH)
        try:
            yield self.temporary
        finally:
            os.close(locked)
            self.clear()

    def look(self) -> None:
        """Record which shared memory our processes have mapped, and remove segments that they left.

        Cheap if nothing has changed: one listing of a folder.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY_S
        there = segments()
        before = dict(self._ours)
        self._find(there - self._ours.keys())
        for segment, owners in list(self._ours.items()):
            if not any(Path(f"/proc/{pid}").exists() for pid in owners):
                remove_unused({segment} & there)
                del self._ours[segment]
        self._others = {one: n for one, n in self._others.items() if one in there}
        if self._ours.keys() != before.keys():
            self._write()

    def _find(self, new: set[Segment]) -> None:
        new = {segment for segment in new if self._others.get(segment, 0) < LOOKS}
        if not new:
            return
        for pid in descendants(os.getpid()):
            for segment in mapped(pid) & new:
                self._ours.setdefault(segment, []).append(pid)
        for segment in new - self._ours.keys():
            self._others[segment] = self._others.get(segment, 0) + 1

    def _write(self) -> None:
        noted = {"temporary": str(self.temporary), "shared_memory": list(self._ours)}
        write_private(self.note, json.dumps(noted) + "\n")

    def clear(self) -> None:
        """Remove everything in the note that no process uses any more."""
        try:
            noted = json.loads(self.note.read_text())
        except (OSError, ValueError):
            return
        remove_unused({(name, inode) for name, inode in noted["shared_memory"]} & segments())
        folder = Path(noted["temporary"])
        with contextlib.suppress(OSError):
            if folder.name.startswith(PREFIX) and folder.lstat().st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)
        self.note.unlink(missing_ok=True)


def make_folder() -> Path:
    """Make a folder of mode 0700 whose path is short enough for a socket in it."""
    parents = [Path(tempfile.gettempdir()), *OPEN_FOLDERS]
    for parent in parents:
        if len(os.fsencode(parent)) <= LONGEST_PARENT and os.access(parent, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    raise StackError(
        f"None of {', '.join(map(str, parents))} can be written to, or its path is longer than "
        f"{LONGEST_PARENT} characters. Set TMPDIR to a folder with a short path."
    )


def segments() -> set[Segment]:
    """Return all POSIX shared memory and semaphores of the machine that are files."""
    found: set[Segment] = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(SHARED_MEMORY):
            found.add((entry.name, entry.inode()))
    return found


def mapped(pid: int) -> set[Segment]:
    """Return the segments that a process has mapped; empty if we have no permission to read
    them.
    """
    found: set[Segment] = set()
    with contextlib.suppress(OSError):
        device = SHARED_MEMORY.stat().st_dev
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            # Address, mode, offset, device, inode, path.
            _, _, _, place, inode, *path = line.split(maxsplit=5)
            # A sandbox may have its own folder of this name.
            if path and path[0].startswith(f"{SHARED_MEMORY}/") and device == number(place):
                found.add((path[0].removeprefix(f"{SHARED_MEMORY}/"), int(inode)))
    return found


def number(device: str) -> int:
    major, _, minor = device.partition(":")
    return os.makedev(int(major, 16), int(minor, 16))


def remove_unused(found: set[Segment]) -> None:
    """Remove segments that were ours, except those that a process still has mapped."""
    if not found:
        return
    used = {one for path in Path("/proc").glob("[0-9]*") for one in mapped(int(path.name))}
    for name, _ in found - used:
        (SHARED_MEMORY / name).unlink(missing_ok=True)
