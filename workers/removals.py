"""Tasks that make room: remove what was deleted, is old or has no row, and measure the rest.

They may run twice or be interrupted: the next turn finds what is left.
"""

import logging

from services.platform.database import alone, transaction
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.serving import comparisons
from services.upkeep import leftovers, removals, storage_use
from workers.app import app

logger = logging.getLogger("oddsmith.workers")


@app.task(name=Task.REMOVE)
def remove() -> None:
    """Remove what is marked as deleted; the keeper sends this again while something is left."""
    if left := removals.remove_all():
        logger.info("deleted, and still in use: removed later", extra={"left": left})


@app.task(name=Task.TIDY)
def tidy() -> None:
    """Remove what is not needed any more, as the settings say, and measure what is left."""
    with alone(Task.TIDY) as mine:
        if mine:
            leftovers.remove(leftovers.listed())
            if days := get_settings().keep_comparisons_days:
                with transaction() as session:
                    comparisons.forget_old(session, days)
            storage_use.measure()
