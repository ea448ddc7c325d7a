"""All advisory locks of Postgres (`database.alone`): their numbers, and whether one is held.

A lock for one object, such as a file that is checked, has the object's id as its key instead.
"""

from enum import IntEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

# A lock belongs to a connection. The holder uses the connection regularly; Postgres records when.
SILENT_S = text(
    """
    SELECT extract(epoch FROM clock_timestamp() - activity.state_change)::float8
    FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = 0 AND objid = :lock
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)


class Lock(IntEnum):
    """Work that one process of an installation does at a time."""

    KEEPER = 0x0DD5
    ENGINES = 0x0DD6
    RESTORE = 0x0DD7


def silent_s(session: Session, lock: Lock) -> float | None:
    """Return the seconds since the lock's holder last used its connection; None if none holds it.

    The keeper uses its connection at each turn of its loops.
    """
    return session.scalar(SILENT_S, {"lock": lock})
