"""Cards on the wire: two stored answers, shown without their models."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.comparisons import ComparisonObject
from services.votes.cards import Deal


class Card(BaseModel):
    """A comparison to vote on. Its models are hidden."""

    comparison: ComparisonObject
    names_model: list[bool] = Field(
        description="For each side, whether the answer has a word of its model's name. Then the "
        "vote may not be blind. Always false for a rater's key: it would tell the name."
    )


class DealObject(BaseModel):
    """The next card of a voter, and what became of earlier ones."""

    object: Literal["votes.deal"] = "votes.deal"
    card: Card | None = Field(description="Null once the voter has seen all cards.")
    undoable: ComparisonObject | None = Field(
        description="The newest vote, if it can still be taken back."
    )
    revealed: ComparisonObject | None = Field(
        description="The newest vote that can't, with the models that answered. Null for a rater's "
        "key while a card is left."
    )
    voted: int
    of: int = Field(description="At most. Cards whose answers are equal or empty are not shown.")

    @classmethod
    def from_deal(cls, found: Deal) -> "DealObject":
        card, undoable, revealed = (
            None if each is None else ComparisonObject.from_record(each)
            for each in (found.card, found.undoable, found.revealed)
        )
        return cls(
            card=Card(comparison=card, names_model=found.names_model) if card else None,
            undoable=undoable,
            revealed=revealed,
            voted=found.voted,
            of=found.of,
        )
