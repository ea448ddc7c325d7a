"""What every record shares: naming of constraints, public ids, ownership, creation time."""

import secrets
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        str: Text,
        int: BigInteger,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        dict[str, str]: JSONB,
        list[Any]: JSONB,
        list[str]: JSONB,
    }


def new_id(prefix: str) -> str:
    """A public id such as `ftjob-4f1c...`: 24 hex digits of randomness behind a prefix."""
    return f"{prefix}-{secrets.token_hex(12)}"


class Created:
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Owned(Created):
    """A root row: it belongs to an organisation and stores the id of the key that made it."""

    org_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), index=True)
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
