"""Counts what a stack holds: processes, sockets, descriptors, files and shared memory.

Two counts are compared, one after a warm-up and one after the soak, each while the stack is idle.
Postgres is not counted itself: it has one process per client, and the clients' sockets are counted.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cli.stack.runtime import mapped
from tests.faults.stack import Stack

# Pools open connections on demand and keep some: this many more than before are no leak.
SLACK = {"processes": 0, "sockets": 16, "descriptors": 24, "files": 0, "shared memory": 0}
KINDS = tuple(SLACK)
# How to recognise a part in the command line of its leash.
PARTS = {
    "postgres": "postgres -D", "redis": "redis-server", "api": "api.app:create_app",
    "keeper": "workers.keeper", "files worker": "-Q files", "train worker": "-Q train",
    "serve worker": "-Q serve",
}  # fmt: skip


@dataclass
class Census:
    """How many of each kind there are, by the part that holds them."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    """Their names, for the report."""

    def total(self, kind: str) -> int:
        return self.counts[kind].total()

    def leaks(self, before: "Census") -> list[str]:
        """Return a sentence for each part that holds more than before."""
        found = [
            f"{kind} of {part}: {n}, before {before.counts[kind][part]}"
            for kind in KINDS
            for part, n in sorted(self.counts[kind].items())
            if n > before.counts[kind][part] + SLACK[kind]
        ]
        if any(line.startswith("files") for line in found):
            found += [f"    {name}" for name in sorted(self.files - before.files)[:20]]
        return found


def part_of(leash: psutil.Process) -> str:
    """Return which part of the stack runs under a leash."""
    words = " ".join(leash.cmdline())
    return next((part for part, mark in PARTS.items() if mark in words), "others")


def take(stack: Stack, supervisor: int) -> Census:
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    segments: dict[str, set[str]] = {}
    above = psutil.Process(supervisor)
    trees = [(part_of(one), [one, *one.children(recursive=True)]) for one in above.children()]
    for part, processes in [("supervisor", [above]), *trees]:
        if part == "postgres":
            continue
        for process in processes:
            _add(counts, part, process)
            segments.setdefault(part, set()).update(name for name, _ in mapped(process.pid))
    for part, names in segments.items():
        counts["shared memory"][part] += len(names)
    files = _files(stack)
    counts["files"].update({kind: len(names) for kind, names in files.items()})
    return Census(counts, {name for names in files.values() for name in names})


def _add(counts: dict[str, Counter[str]], part: str, process: psutil.Process) -> None:
    try:
        links = [str(path.readlink()) for path in Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:
        return  # it ended in between
    counts["processes"][part] += 1
    counts["sockets"][part] += len([link for link in links if link.startswith("socket:")])
    counts["descriptors"][part] += len(links)


def _files(stack: Stack) -> dict[str, list[str]]:
    """Temporary files, half-written files, and run folders of jobs that no longer exist."""
    var, temporary = stack.folder.path, []
    note = var / "runtime.json"
    if note.exists():
        folder = Path(json.loads(note.read_text())["temporary"])
        # Sockets are counted as sockets.
        temporary = [str(path) for path in folder.rglob("*") if not path.is_socket()]
    known = {row["id"] for row in stack.rows("SELECT id FROM jobs")}
    runs = [path.name for path in stack.folder.runs.glob("ftjob-*")]
    half = [*stack.folder.storage.rglob("*.part*"), *stack.folder.storage.rglob("*.tmp")]
    return {
        "temporary": temporary,
        "runs of no job": [name for name in runs if name not in known],
        "half-written": [str(path) for path in half],
    }
