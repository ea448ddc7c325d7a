"""What makes a checkpoint folder complete: a manifest of every file, and a rename.

Imports no torch and knows nothing of what the files hold.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from orpo.contract.failures import Damaged
from orpo.contract.rundir import MANIFEST


@dataclass(frozen=True)
class Manifest:
    """Identity and inventory of a committed checkpoint; `files` maps a relative path to facts.

    `weights_sha256` is the digest of the weights file; if there are several, it is the digest of
    all their lines `<sha256>  <path>`. `resumable` is False once the optimizer's state was deleted.
    """

    step: int
    generation: int
    spec_sha256: str
    weights_sha256: str
    resumable: bool
    files: dict[str, dict[str, Any]]

    @property
    def size_bytes(self) -> int:
        """Bytes of all listed files."""
        return sum(facts["size"] for facts in self.files.values())


def inventory(folder: Path, only: str = "*") -> dict[str, dict[str, Any]]:
    """sha256 and size in bytes of every file under `folder`, each forced to the disk."""
    files = (
        path for path in sorted(folder.rglob(only)) if path.is_file() and path.name != MANIFEST
    )
    return {
        str(path.relative_to(folder)): {"sha256": sha256(path), "size": _sync(path)}
        for path in files
    }


def weights_digest(files: dict[str, dict[str, Any]], prefix: str) -> str:
    """The `weights_sha256` of the safetensors files under `prefix` (see `Manifest`)."""
    weights = {
        name: facts["sha256"]
        for name, facts in sorted(files.items())
        if name.startswith(prefix) and name.endswith(".safetensors")
    }
    if len(weights) == 1:
        return next(iter(weights.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in weights.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def commit(folder: Path, manifest: Manifest, final: Path) -> None:
    """Write the manifest into `folder` and rename it to `final`: from then on the checkpoint
    exists.
    """
    write(folder, manifest)
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            _sync(path)
    if final.exists():  # left by an interrupted run of the same generation, with the same content
        shutil.rmtree(final)
    folder.rename(final)
    _sync(final.parent)


def write(folder: Path, manifest: Manifest) -> None:
    """Write or replace `folder`'s manifest in one rename."""
    temporary = folder / f"{MANIFEST}.tmp"
    temporary.write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    _sync(temporary)
    temporary.rename(folder / MANIFEST)
    _sync(folder)


def read(folder: Path) -> Manifest:
    """The manifest of a committed checkpoint, unchecked; raises Damaged where there is none."""
    try:
        return Manifest(**json.loads((folder / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise Damaged(
            f"{folder.name} has no readable {MANIFEST}: it was never committed."
        ) from error


def verify(folder: Path) -> Manifest:
    """Recompute every hash; raises Damaged naming the first file that is missing or changed."""
    manifest = read(folder)
    for name, facts in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise Damaged(f"{folder.name} is incomplete: {name} is missing.")
        if path.stat().st_size != facts["size"]:
            raise Damaged(f"{folder.name} is damaged: {name} does not have {facts['size']} bytes.")
        if sha256(path) != facts["sha256"]:
            raise Damaged(f"{folder.name} is damaged: {name} does not match its sha256.")
    return manifest


def sha256(path: Path) -> str:
    """The file's sha256 in hex, read in blocks; OSError where it is no regular file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading; OSError for anything else, at once: a FIFO would block until
    another process writes to it, and a device may never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, f"It is {kind_of(found)}, not a regular file", str(path))


def kind_of(found: os.stat_result) -> str:
    """The kind of a file that is not a regular file, in words."""
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link to itself",
    }
    return kinds.get(stat.S_IFMT(found.st_mode), "something else")


def _sync(path: Path) -> int:
    """Force a file or folder to the disk; returns its size in bytes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def facts(folder: Path) -> dict[str, Any]:
    """`{ok, step, resumable, weights_sha256}` of an intact checkpoint; raises Damaged."""
    manifest = verify(folder)
    named = ("step", "resumable", "weights_sha256")
    return {"ok": True} | {name: getattr(manifest, name) for name in named}
