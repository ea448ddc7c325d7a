"""Comparisons: what was asked of which models, what each answered, and which answer was better."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, select, text
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.api_keys import ApiKey
from models.base import Base, Owned


class Choice(StrEnum):
    A = "a"
    B = "b"
    TIE = "tie"
    BOTH_BAD = "both_bad"


class Reason(StrEnum):
    """Why an answer is the better one, or both are bad."""

    CORRECT = "correct"
    FOLLOWS = "follows_instructions"
    CLEAR = "clear"
    COMPLETE = "complete"
    SHORT = "short"
    STYLE = "style"
    SAFE = "safe"
    OTHER = "other"


class Comparison(Owned, Base):
    __tablename__ = "comparisons"
    __table_args__ = (
        Index("ix_comparisons_org_id_created_at", "org_id", "created_at"),
        Index(
            "ix_comparisons_voted",
            "org_id",
            "created_at",
            postgresql_where=text("choice IS NOT NULL"),
        ),
        Index(
            "uq_comparisons_card",
            "evaluation_id",
            "api_key_id",
            "place",
            "pair",
            unique=True,
            postgresql_where=text("evaluation_id IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    # For each side: the request, the model that served it as recorded by us, and later the answer.
    sides: Mapped[list[Any]]
    # {"job_id", "line"} where the prompt is that of a held-out pair.
    held_out: Mapped[dict[str, Any] | None]
    # Numbers of the sides that a user stopped; the process that streams the answers reads it.
    stopping: Mapped[list[Any]] = mapped_column(default=list)
    ended_at: Mapped[datetime | None]
    choice: Mapped[str | None]
    reason: Mapped[str | None]
    note: Mapped[str | None]
    # {"side", "text"}: the better answer as it should have been.
    edit: Mapped[dict[str, Any] | None]
    # Of a card: the evaluation whose stored answers it shows, the place of the item there, and the
    # number of the pair of answers of that item. The evaluation may have been deleted since.
    evaluation_id: Mapped[str | None]
    place: Mapped[int | None]
    pair: Mapped[int | None]
    # Of a card: when its voter was told which model gave which answer. No vote is changed after it.
    revealed_at: Mapped[datetime | None]
    # The API key that voted, and its name. A key is never deleted, only revoked.
    voted_by: Mapped[str | None] = mapped_column()
    voter: Mapped[str | None] = column_property(
        select(ApiKey.name).where(ApiKey.id == voted_by).correlate_except(ApiKey).scalar_subquery()
    )
    voted_at: Mapped[datetime | None]

    @property
    def is_hidden(self) -> bool:
        """Whether it is a card whose voter must not know yet which model gave which answer."""
        return self.evaluation_id is not None and self.revealed_at is None
