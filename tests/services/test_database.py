"""Connections are replaced if the server has closed them, and hold no locks after a read."""

from typing import cast

import pytest
from sqlalchemy import QueuePool, text
from sqlalchemy.exc import DataError

from services.platform.database import alone, engine, reading, transaction
from services.platform.locks import Lock
from tests.conftest import administer

OTHERS = "SELECT pid, state FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"


@pytest.fixture
def database_url(own_database_url):
    return own_database_url


def close_all(postgres, database):
    others = f"SELECT pg_terminate_backend(pid, 5000) FROM ({OTHERS.format(database)}) AS found"
    administer(postgres, others)


def test_connections_that_the_server_closed_are_replaced_unseen(product, postgres):
    with transaction() as session, reading() as other:
        database = session.scalar(text("SELECT current_database()"))
        other.execute(text("SELECT 1"))
    assert cast("QueuePool", engine().pool).checkedin() == 2
    close_all(postgres, database)
    with transaction() as session, reading() as other:
        assert session.scalar(text("SELECT 1")) == 1
        assert other.scalar(text("SELECT 1")) == 1


def test_reading_sees_what_is_committed_meanwhile_and_holds_nothing_open(product):
    with reading() as session:
        database = session.scalar(text("SELECT current_database()"))
        with transaction() as writer:
            writer.execute(text("CREATE TABLE seen AS SELECT 1"))
        assert session.scalar(text("SELECT count(*) FROM seen")) == 1
        with transaction() as other:
            states = [state for _, state in other.execute(text(OTHERS.format(database)))]
        assert states == ["idle"]


def test_a_connection_that_has_read_can_write_in_a_transaction(product):
    with reading() as session:
        session.execute(text("CREATE TABLE kept (n int)"))

    def write_and_fail():
        with transaction() as session:
            session.execute(text("INSERT INTO kept VALUES (1)"))
            session.execute(text("SELECT 1 / 0"))

    with pytest.raises(DataError):
        write_and_fail()
    with reading() as session:
        assert session.scalar(text("SELECT count(*) FROM kept")) == 0


def test_one_at_a_time_works_on_a_thing_until_its_process_ends(product, postgres):
    with (
        alone("this") as first,
        alone("this") as second,
        alone("that") as other,
        alone(Lock.RESTORE) as by_id,
    ):
        assert (first, second, other, by_id) == (True, False, True, True)
    with alone("this") as first:
        assert first
        with transaction() as session:
            database = session.scalar(text("SELECT current_database()"))
        close_all(postgres, database)  # as if its process had died
        with alone("this") as second:
            assert second
