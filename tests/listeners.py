"""Lists the sockets that the processes of a tree listen on, from /proc, as `ss -lntup` does.

It also covers other network namespaces: the tables are read once per namespace.
"""

import ipaddress
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

LISTEN = "0A"
UNCONNECTED = "07"  # a UDP socket that receives from any sender
TABLES = {"tcp": LISTEN, "tcp6": LISTEN, "udp": UNCONNECTED, "udp6": UNCONNECTED}
INTERVAL_S = 0.3


class Listener(NamedTuple):
    """A listening socket: its address, its port and the command line of its process."""

    address: str
    port: int
    cmdline: str


def listeners_of(pids: Iterable[int]) -> set[Listener]:
    """Listening TCP sockets and receiving UDP sockets; a process that ends meanwhile is skipped."""
    held = dict[int, tuple[int, set[str]]]()
    for pid in pids:
        with suppress(OSError):
            held[pid] = Path(f"/proc/{pid}/ns/net").stat().st_ino, _sockets(pid)
    # The kernel takes 3 ms of a core to produce a table, even an empty one.
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
    """Those that another machine on the network could reach."""
    return sorted(one for one in listeners if not ipaddress.ip_address(one.address).is_loopback)


def _sockets(pid: int) -> set[str]:
    found = set[str]()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if (target := str(file.readlink())).startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    return found


def _tables(pid: int) -> dict[str, tuple[str, int]]:
    """Address and port of each listening socket in the process's namespace, by inode."""
    found = {}
    for table, state in TABLES.items():
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                found[fields[9]] = _read(fields[1])
    return found


def _read(place: str) -> tuple[str, int]:
    """Parse the kernel's hexadecimal address (32-bit words in host byte order) and port."""
    words, _, port = place.partition(":")
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


class Watch:
    """Collects every listener of a process and its descendants, several times a second."""

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
    """Watch the listeners of `root_of()` and its descendants while the block runs."""
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
