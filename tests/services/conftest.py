"""Fixtures for services: a session on a new database, and a caller."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from services.access.callers import Caller
from services.platform import database
from tests import records
from tests.conftest import forget_connections


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    """Makes sessions as the product does, for tests that need several."""
    engine = create_engine(database_url, pool_size=50)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with sessions() as session:
        yield session


@pytest.fixture
def caller(session: Session) -> Caller:
    return records.caller(session)


@pytest.fixture
def product(
    settings_from: Callable[..., None], database_url: str, tmp_path: Path
) -> Iterator[None]:
    """Point the product, which workers use, at the test's database and folder."""
    settings_from(database_url=database_url, var=tmp_path, storage_url="", redis_url="")
    forget_connections()
    yield
    database.engine().dispose()
    forget_connections()
