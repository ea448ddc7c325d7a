"""How a worker takes the item whose turn it is, while other workers do the same."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from services.platform.database import alone
from services.platform.turns import Item, Turns


@contextmanager
def take(order: Turns, waiting: Iterable[Item]) -> Iterator[Item | None]:
    """Yield the item whose turn it is and keep other workers off it; None if there is none left."""
    for item in order.order(waiting):
        with alone(item.id) as mine:
            if mine:
                order.serve(item.account)
                yield item
                return
    yield None
