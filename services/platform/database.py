"""The connection to Postgres and the one way to open a transaction.

Callers (a request, one step of a task) own the transaction; services never commit.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from select import POLLIN, poll
from typing import Any

import psycopg
from sqlalchemy import (
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from services.platform.errors import Unavailable
from services.platform.locks import Lock
from services.platform.settings import get_settings


@lru_cache
def engine() -> Engine:
    url = get_settings().database_url
    if not url:
        raise Unavailable(
            "No database is set: start with `oddsmith up` or set ODDSMITH_DATABASE_URL."
        )
    made = create_engine(url, pool_size=10, max_overflow=30, pool_timeout=10)
    event.listen(made, "checkout", _replace_if_closed)
    event.listen(made, "connect", _limit_idling)
    event.listen(made, "handle_error", _call_it_operational)
    return made


def _replace_if_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """Make the pool reconnect if the server has gone.

    When a server ends, each idle connection becomes readable, at least with its end. Checking for
    that finds what a ping would find, without a round trip.
    """
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    while waiting.poll(0):
        try:
            connection.pgconn.consume_input()
        except psycopg.OperationalError:
            raise InvalidatePoolError from None


def _limit_idling(connection: psycopg.Connection, _: Any) -> None:
    """Let Postgres end a transaction that was idle for the duration of a lease.

    A worker that freezes in a transaction keeps its job's row locked: until the worker is back, the
    reaper would skip the job, and a cancel would wait.
    """
    limit_ms = int(get_settings().lease_s * 1000)
    connection.execute(f"SET idle_in_transaction_session_timeout = {limit_ms}".encode())
    connection.commit()


def idle_at_will(session: Session) -> None:
    """Lift that limit for the current transaction, which holds no job and does more than SQL."""
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _call_it_operational(context: ExceptionContext) -> None:
    """Turn each error of a lost connection into OperationalError.

    psycopg raises InternalError for a connection that was ended because it idled, and no caller
    handles that.
    """
    gone = context.is_disconnect and context.original_exception
    if gone and not isinstance(context.sqlalchemy_exception, OperationalError):
        raise OperationalError(context.statement, context.parameters, gone)


@lru_cache
def _sessions(*, autocommit: bool) -> sessionmaker[Session]:
    if autocommit:
        # Each statement is then a transaction of its own, without BEGIN and COMMIT.
        return sessionmaker(engine().execution_options(isolation_level="AUTOCOMMIT"))
    return sessionmaker(engine(), expire_on_commit=False)


@contextmanager
def transaction() -> Iterator[Session]:
    """Open a session whose work commits when the block ends, and rolls back if it raises."""
    with _sessions(autocommit=False).begin() as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """Open a session that only reads, without the BEGIN and COMMIT of a transaction.

    Each statement sees what was committed before it, as it does in `transaction`, too. Neither
    opening nor closing it waits for the server.
    """
    with _sessions(autocommit=True)() as session:
        yield session


def take(connection: Connection, key: Lock | str) -> bool:
    """Take an advisory lock for as long as the connection lives.

    False if another connection holds it.
    """
    return bool(connection.scalar(select(func.pg_try_advisory_lock(_number(key)))))


@contextmanager
def alone(key: Lock | str) -> Iterator[bool]:
    """Hold an advisory lock in the block.

    Yields False if another process holds the lock; the caller must check. Postgres releases it when
    this process dies, or when its connection is lost: the work of the block must be idempotent.
    """
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not take(connection, key):
            yield False
            return
        try:
            yield True
        finally:
            with suppress(OperationalError):
                connection.execute(select(func.pg_advisory_unlock(_number(key))))


def lock_until_commit(session: Session, key: str) -> None:
    """Wait for an advisory lock, and hold it until the session's transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(_number(key))))


def _number(key: Lock | str) -> Any:
    return func.hashtextextended(key, 0) if isinstance(key, str) else int(key)
