"""The connection to Postgres and the one way to open a transaction.

Callers (a request, one step of a task) own the transaction; services never commit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from services.errors import Unavailable
from services.settings import get_settings


@lru_cache
def engine() -> Engine:
    url = get_settings().database_url
    if not url:
        raise Unavailable(
            "No database is set: start with `oddsmith up` or set ODDSMITH_DATABASE_URL."
        )
    # pre_ping replaces connections that died with the server, so that the pool recovers by itself.
    made = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=30, pool_timeout=10)
    event.listen(made, "connect", _limit_idling)
    return made


def _limit_idling(connection: psycopg.Connection, _: Any) -> None:
    """Let Postgres end a transaction that nothing was sent in for a lease's time.

    A worker that froze in the middle of one holds its job's row: the reaper would pass it over,
    and a cancel would wait for it, until the worker is back.
    """
    limit_ms = int(get_settings().lease_s * 1000)
    connection.execute(f"SET idle_in_transaction_session_timeout = {limit_ms}".encode())
    connection.commit()


@lru_cache
def _sessions() -> sessionmaker[Session]:
    return sessionmaker(engine(), expire_on_commit=False)


@contextmanager
def transaction() -> Iterator[Session]:
    """Open a session whose work commits when the block ends, and rolls back if it raises."""
    with _sessions().begin() as session:
        yield session
