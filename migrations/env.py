"""Alembic's entry: runs migrations on ODDSMITH_DATABASE_URL, or on a connection handed in."""

from alembic import context
from sqlalchemy import Connection, create_engine

from models import Base
from services.platform.settings import get_settings


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, compare_server_default=False
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with create_engine(get_settings().database_url).connect() as own:
        migrate(own)
