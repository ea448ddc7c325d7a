"""Judges: what compares or rates answers. A judge's key to an outside service is never in a row."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Owned


class Judge(Owned, Base):
    __tablename__ = "judges"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    # `openai`, `deployment` or `reward`.
    kind: Mapped[str]
    # The model's name: at the endpoint, or in this installation.
    model: Mapped[str]
    # Of an `openai` judge: the address before `/chat/completions`, and the name of its secret.
    base_url: Mapped[str | None]
    secret: Mapped[str | None]
    sampling: Mapped[dict[str, Any]]
    # By the name of the labels (`llmbar`, `pandalm`, `votes`): agreement with people.
    agreement: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    deleted_at: Mapped[datetime | None]
