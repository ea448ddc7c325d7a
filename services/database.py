"""The connection to Postgres and the one way to open a transaction.

Callers (a request, one step of a task) own the transaction; services never commit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import Engine, create_engine
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
    return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=30, pool_timeout=10)


@lru_cache
def _sessions() -> sessionmaker[Session]:
    return sessionmaker(engine(), expire_on_commit=False)


@contextmanager
def transaction() -> Iterator[Session]:
    """Open a session whose work commits when the block ends, and rolls back if it raises."""
    with _sessions().begin() as session:
        yield session
