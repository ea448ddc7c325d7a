"""Work that a task begins in a thread of its worker, so that the task itself ends at once.

Deliveries of webhooks and mirrors wait for other servers. In a thread they don't delay the other
tasks of their worker, such as the checks of uploads.
"""

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from workers.app import draining

logger = logging.getLogger("oddsmith.workers")


class Background:
    """One thread at most, which calls `work` until it returns False or the worker is asked to stop.

    A call that raises ends the thread. The keeper wakes it again while something is due.
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self._work = work
        self._busy = threading.Lock()

    def wake(self) -> None:
        """Begin, unless the thread is there already. The keeper repeats a wake-up too many."""
        if self._busy.acquire(blocking=False):
            threading.Thread(target=self._run, name=self.name, daemon=True).start()

    @property
    def is_busy(self) -> bool:
        return self._busy.locked()

    def _run(self) -> None:
        try:
            while not draining.is_set() and self._work():
                pass
        except OperationalError:
            logger.warning("the database is away; the keeper wakes the %s again", self.name)
        except Exception:
            logger.exception("the %s have failed", self.name)
        finally:
            self._busy.release()
