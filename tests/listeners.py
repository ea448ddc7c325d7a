"""Which sockets the processes of a tree listen on, read from /proc as `ss -lntup` reads it.

Sees into network namespaces too: of each that a process is in, the tables are read once.
"""

import ipaddress
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

LISTEN = "0A"
UNCONNECTED = "07"  # a UDP socket that takes datagrams from any sender
TABLES = {"tcp": LISTEN, "tcp6": LISTEN, "udp": UNCONNECTED, "udp6": UNCONNECTED}
INTERVAL_S = 0.3


class Listener(NamedTuple):
    """A socket that waits for others: its address, its port and whose it is."""

    address: str
    port: int
    cmdline: str


def listeners_of(pids: Iterable[int]) -> set[Listener]:
    """TCP sockets that listen and UDP sockets that receive; processes that end are left out."""
    held = dict[int, tuple[int, set[str]]]()
    for pid in pids:
        with suppress(OSError):
            held[pid] = Path(f"/proc/{pid}/ns/net").stat().st_ino, _sockets(pid)
    # The kernel takes 3 ms of a core for a table, however little is in it.
    tables = dict[int, dict[str, tuple[str, int]]]()
    found = set[Listener]()
    for pid, (namespace, sockets) in held.items():
        with suppress(OSError, psutil.Error):
            if namespace not in tables:
                tables[namespace] = _tables(pid)
            if mine := tables[namespace].keys() & sockets:
                words = " ".join(psutil.Process(pid).cmdline())
                found |= {Listener(*tables[namespace][inode], words) for inode in mine}
    return found


def beyond_loopback(listeners: Iterable[Listener]) -> list[Listener]:
    """Those that another machine could reach, if this one is on a network."""
    return sorted(one for one in listeners if not ipaddress.ip_address(one.address).is_loopback)


def _sockets(pid: int) -> set[str]:
    found = set[str]()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if (target := str(file.readlink())).startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    return found


def _tables(pid: int) -> dict[str, tuple[str, int]]:
    """Address and port by the inode of each socket that listens where the process is."""
    found = {}
    for table, state in TABLES.items():
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                found[fields[9]] = _read(fields[1])
    return found


def _read(place: str) -> tuple[str, int]:
    """Address and port from the kernel's hexadecimal words, each in the machine's byte order."""
    words, _, port = place.partition(":")
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


class Watch:
    """Every listener of a process and its descendants, looked at several times a second."""

    def __init__(self) -> None:
        self.seen = set[Listener]()
        self.programs = set[str]()

    def look(self, root: int) -> None:
        with suppress(psutil.Error):
            tree = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
            for process in tree:
                with suppress(psutil.Error):
                    self.programs.add(" ".join(process.cmdline()))
            self.seen |= listeners_of(process.pid for process in tree)

    def of(self, *words: str) -> list[Listener]:
        """The listeners whose command line has all of `words`."""
        return [one for one in self.seen if all(word in one.cmdline for word in words)]


@contextmanager
def watching(root_of: Callable[[], int]) -> Iterator[Watch]:
    """Look at what `root_of()` and its descendants listen on for as long as the block takes."""
    watch, ended = Watch(), threading.Event()

    def repeat() -> None:
        while not ended.wait(INTERVAL_S):
            with suppress(OSError, ValueError, KeyError):
                watch.look(root_of())

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
