"""A keeper and workers, as far as others see of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.platform import database, presence
from services.platform.database import transaction
from tests.api.fake_engine import wait_until
from workers import keeper


def keeps() -> bool:
    with transaction() as session:
        return presence.keeper_age_s(session) is not None


@contextmanager
def at_work() -> Iterator[None]:
    """A keeper that keeps and a worker of each queue that signs, for as long as the block."""
    thread = threading.Thread(target=keeper.keep)
    thread.start()
    try:
        for name in presence.QUEUES:
            presence.sign(f"{name}@here")
        assert wait_until(keeps)
        yield
    finally:
        keeper.stopping.set()
        thread.join()
        keeper.stopping.clear()
        # The lock is the connection's, which a keeper's end closes and a thread's does not.
        database.engine().dispose()
