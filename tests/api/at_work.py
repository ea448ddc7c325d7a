"""A keeper and workers as the rest of the product sees them: a lock and rows."""

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
    """Run the keeper's loop and register one worker per queue while the block runs."""
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
        # The connection holds the lock. A keeper process closes it at its end; a thread doesn't.
        database.engine().dispose()
