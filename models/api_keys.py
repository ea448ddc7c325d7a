"""Organisations and their API keys. A key's text is never stored, only its hash."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class Organization(Created, Base):
    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class ApiKey(Created, Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), index=True)
    name: Mapped[str]
    # Enough of the key to recognise it in a list, far too little to guess it.
    hint: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    # Of a rater's key, whose only scope is `vote`: the evaluation on whose cards it votes. Null
    # once that was deleted: then the key is revoked, and it stays, because votes name it. The
    # constraint is checked at the end of a transaction: a restore loads keys before evaluations.
    evaluation_id: Mapped[str | None] = mapped_column(
        ForeignKey(
            "evaluations.id",
            ondelete="SET NULL",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        index=True,
    )
    revoked_at: Mapped[datetime | None]
    # When a worker claimed a job of this key last. Keys take turns by it.
    served_at: Mapped[datetime | None]
