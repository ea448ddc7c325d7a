"""A database that claims to be at another migration than it is."""

from sqlalchemy import text

from services.platform.database import transaction


def at_migration(revision: str) -> None:
    """Write `revision` into the product's database. It is shared: put the right one back."""
    with transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :at"), {"at": revision})
