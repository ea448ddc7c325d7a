"""Connections without a complete request: silent, idle, in the middle of a request, or refused.

Each server has one table of them. The table closes connections that are overdue, and those that
exceed the limit of an address or of the server. A connection whose request is complete is not in
the table while it is answered, so streams and long answers have no deadline here. Knows nothing of
HTTP.
"""

import asyncio
import ipaddress
import logging
import resource
from functools import lru_cache
from typing import Protocol

logger = logging.getLogger("oddsmith.api")


class Waiter(Protocol):
    """A connection, as far as the table knows it."""

    address: str

    def overdue(self, now_s: float) -> bool: ...

    def expire(self) -> None:
        """Close it, with an answer where the client waits for one."""
        ...

    def drop(self) -> None:
        """Close it at once."""
        ...


class Pending:
    """The table of one server, swept every `sweep_s` seconds; `now_s` is its loop's clock."""

    sweep_s = 1.0

    def __init__(self, loop: asyncio.AbstractEventLoop, per_address: int, in_all: int) -> None:
        self.loop, self.per_address, self.in_all = loop, per_address, in_all
        # By address. Within an address, the connection that has waited longest comes first.
        self.waiting: dict[str, dict[Waiter, float]] = {}
        self.timer: asyncio.TimerHandle | None = None

    def enter(self, waiter: Waiter) -> None:
        """Add a connection after the others of its address."""
        of_address = self.waiting.setdefault(waiter.address, {})
        of_address.pop(waiter, None)
        of_address[waiter] = self.loop.time()
        if self.timer is None:
            self.timer = self.loop.call_later(self.sweep_s, self.sweep)

    def leave(self, waiter: Waiter) -> None:
        of_address = self.waiting.get(waiter.address, {})
        of_address.pop(waiter, None)
        if not of_address:
            self.waiting.pop(waiter.address, None)

    def has_room(self, connections: int) -> bool:
        """Whether a new connection may stay; `connections` is the number of open ones with it.

        Above the limit, the address with the most waiting connections loses the one that has waited
        longest: a client with many connections can't lock others out. False only while all
        connections are being answered.
        """
        if connections <= self.in_all:
            return True
        most = max(self.waiting.values(), key=len, default=None)
        if most is None:
            return False
        next(iter(most)).drop()
        return True

    def sweep(self) -> None:
        now_s = self.loop.time()
        tables = [list(of_address.items()) for of_address in self.waiting.values()]
        overdue = sum(self._expire(now_s, table) for table in tables)
        crowded = sum(self._thin_out(now_s, table) for table in tables)
        if overdue or crowded:
            counts = {"overdue": overdue, "too_many": crowded}
            logger.info("closed connections without a complete request", extra=counts)
        self.timer = self.loop.call_later(self.sweep_s, self.sweep) if self.waiting else None

    def _expire(self, now_s: float, table: list[tuple[Waiter, float]]) -> int:
        late = [waiter for waiter, _ in table if waiter.overdue(now_s)]
        for waiter in late:
            waiter.expire()
        return len(late)

    def _thin_out(self, now_s: float, table: list[tuple[Waiter, float]]) -> int:
        """Close the connections above an address's limit, but none that is newer than a sweep."""
        excess = table[: max(0, len(table) - self.per_address)]
        old = [waiter for waiter, since_s in excess if now_s - since_s >= self.sweep_s]
        for waiter in old:
            waiter.drop()
        return len(old)


def max_connections() -> int:
    """Three quarters of the descriptors that this process may open.

    The rest is for the database, for engines and for files.
    """
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4


@lru_cache(maxsize=4096)
def address_of(host: str) -> str:
    """What is counted as one address: an IPv4 host, or a /64 network of IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
