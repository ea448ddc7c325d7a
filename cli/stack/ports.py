"""Chooses loopback ports, and keeps two stacks that start at the same time from the same port.

Knows no part by name.
"""

import contextlib
import random
import socket
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
# Below the range that the kernel gives to outgoing connections.
SPARE = range(20_000, 32_000)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        # As servers do: a port with old connections in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


class Ports:
    """Ports that are reserved until this is closed, even if their servers start much later.

    A port is reserved by an abstract Unix socket (no file; ends with its process), because a bound
    TCP socket would block the server.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._held:
            self._held.pop().close()

    def take(self, port: int, host: str = LOOPBACK) -> bool:
        """Reserve the port; False if a server or another stack has it."""
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0oddsmith-port-{port}")
        except OSError:
            name.close()
            return False
        if not is_free(port, host):
            name.close()
            return False
        self._held.append(name)
        return True

    def choose(self, usual: int | None = None, host: str = LOOPBACK) -> int:
        """Reserve the usual port, or a spare one if that is taken."""
        candidates = random.sample(SPARE, len(SPARE))
        for port in candidates if usual is None else [usual, *candidates]:
            if self.take(port, host):
                return port
        raise OSError("No port is free.")


def any_free(host: str = LOOPBACK) -> int:
    """Return a spare port without reserving it, for a server that starts at once."""
    with Ports() as ports:
        return ports.choose(host=host)
