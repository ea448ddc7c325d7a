"""Outcomes on the wire: what a run reached on its held-out pairs."""

from pydantic import BaseModel, Field

from services.runs import outcomes


class HeldOutNumbers(BaseModel):
    """One measurement of the held-out pairs; null is what the method does not measure."""

    step: int
    accuracy: float | None = Field(
        description="The share of pairs whose chosen answer is preferred."
    )
    accuracy_low: float | None = Field(description="Lower end of its 95 % Wilson interval.")
    accuracy_high: float | None
    log_odds_ratio: float | None
    reward_margin: float | None = Field(description="Of a reward model.")


class Outcome(BaseModel):
    """The held-out pairs at the first and at the newest measurement."""

    before: HeldOutNumbers
    after: HeldOutNumbers

    @classmethod
    def from_numbers(cls, found: outcomes.Outcome) -> "Outcome":
        return cls(before=HeldOutNumbers(**found["before"]), after=HeldOutNumbers(**found["after"]))
