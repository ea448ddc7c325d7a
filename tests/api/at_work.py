"""A keeper and workers, as far as others see of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.jobs import workers
from services.platform import database, locks, queue
from services.platform.database import transaction
from tests.api.fake_engine import wait_until
from workers import keeper


def keeps() -> bool:
    with transaction() as session:
        return locks.silent_s(session, locks.Lock.KEEPER) is not None


@contextmanager
def at_work() -> Iterator[None]:
    """A keeper that keeps and a worker of each queue, for as long as the block."""
    thread = threading.Thread(target=keeper.keep)
    thread.start()
    try:
        with transaction() as session:
            for name in queue.QUEUES:
                workers.register(session, name, queues=[name], host="here", cores=2, devices=[])
        assert wait_until(keeps)
        yield
    finally:
        with transaction() as session:
            for name in queue.QUEUES:
                workers.forget(session, name)
        keeper.stopping.set()
        thread.join()
        keeper.stopping.clear()
        # The lock is the connection's, which a keeper's end closes and a thread's does not.
        database.engine().dispose()
