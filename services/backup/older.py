"""Rows of an older release, brought to this release's columns by its migrations.

A second schema is made as that release had it, loaded, and migrated to the newest revision. Its
rows are then copied to the product's schema. All of it is one transaction. Knows no table by name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from sqlalchemy import MetaData, Table, delete, inspect, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.upkeep import health

SCHEMA = "restoring"


def load(
    session: Session,
    tables: list[Table],
    migration: str,
    copy_in: Callable[[Table, set[str]], None],
) -> None:
    """Load the rows of a backup that was made at `migration` into `tables`, which are empty.

    `copy_in(table, columns)` loads one table into the current schema, where it has these columns.
    """
    home = session.scalars(text("SELECT current_schema()")).one()
    with _at(session, migration):
        columns = _columns(session)
        for table in tables:
            if table.name in columns:
                session.execute(delete(_of(SCHEMA, table)))  # what migrations put there
                copy_in(table, columns[table.name])
        # No table can be altered or dropped while a deferred constraint of it is to be checked.
        session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        _migrate(session, "head")
        session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        for table in tables:
            source = _of(SCHEMA, table)
            rows = insert(_of(home, table)).from_select(source.columns.keys(), select(source))
            session.execute(rows)


@contextmanager
def _at(session: Session, migration: str) -> Iterator[None]:
    """Make a schema at `migration` the current one within the block."""
    before = session.scalar(text("SHOW search_path"))
    session.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    session.execute(text(f"SET LOCAL search_path TO {SCHEMA}"))
    _migrate(session, migration)
    yield
    session.execute(text(f"SET LOCAL search_path TO {before}"))
    session.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))


def _of(schema: str, table: Table) -> Table:
    return table.to_metadata(MetaData(), schema=schema)


def _columns(session: Session) -> dict[str, set[str]]:
    """The columns of each table of the older schema."""
    found = inspect(session.connection()).get_multi_columns(schema=SCHEMA)
    return {str(name): {column["name"] for column in of} for (_, name), of in found.items()}


def _migrate(session: Session, revision: str) -> None:
    config: Any = health.config()
    config.attributes["connection"] = session.connection()
    command.upgrade(config, revision)
