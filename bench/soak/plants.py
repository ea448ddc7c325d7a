"""Adds leaks on purpose, to check that the soak finds them: `--plant KIND...`.

A `sitecustomize.py` is put on the import path of the stack's processes. Once a file in `var` names
the kinds, the keeper leaks them, also after a restart.
"""

from collections.abc import Sequence
from pathlib import Path

KINDS = ("process", "socket", "fd", "file", "shm")
FILE = "plant"
MANY = 100  # more than pools may open

PROGRAM = """
import mmap, os, socket, subprocess, sys, tempfile, threading, time, uuid

def leak(kind):
    kept = []
    if kind == "process":
        kept.append(subprocess.Popen(["sleep", "3600"]))
    if kind == "socket":
        kept += [socket.socket() for _ in range(MANY)]
    if kind == "fd":
        kept += [open(os.devnull) for _ in range(MANY)]
    if kind == "file":
        tempfile.mkstemp()
    if kind == "shm":
        kept.append(open(f"/dev/shm/oddsmith-soak-{uuid.uuid4().hex}", "wb+"))
        kept[0].truncate(4096)
        kept.append(mmap.mmap(kept[0].fileno(), 4096))
    return kept

def wait():
    path = os.path.join(os.environ["ODDSMITH_VAR"], "plant")
    while not os.path.exists(path):
        time.sleep(1)
    sys.planted = [leak(kind) for kind in open(path).read().split()]

if sys.orig_argv[-1] == "workers.keeper":
    threading.Thread(target=wait, daemon=True).start()
""".replace("MANY", str(MANY))


def prepare(folder: Path) -> dict[str, str]:
    """Return the environment in which a stack's keeper leaks after `plant` was called."""
    (folder / "sitecustomize.py").write_text(PROGRAM)
    return {"PYTHONPATH": str(folder)}


def plant(var: Path, kinds: Sequence[str]) -> None:
    (var / f"{FILE}.new").write_text(" ".join(kinds))
    (var / f"{FILE}.new").rename(var / FILE)
