"""Numbers with their 95 % intervals on the wire."""

from pydantic import BaseModel, Field

from evals.statistics import Estimate


class Measured(BaseModel):
    """A number with its 95 % interval, from a bootstrap over prompts."""

    value: float
    low: float | None = Field(None, description="Null for a single prompt.")
    high: float | None = None
    n: int = Field(description="Prompts that it is computed from.")

    @classmethod
    def from_estimate(cls, found: Estimate) -> "Measured":
        return cls(value=found.value, low=found.low, high=found.high, n=found.n)
