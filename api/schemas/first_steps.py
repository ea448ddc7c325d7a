"""The first steps of an organisation, on the wire."""

from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, Field

from services.upkeep.first_steps import FirstSteps


class FirstStepsObject(BaseModel):
    """Which of the first steps are done. Deleted objects do not count."""

    object: Literal["first_steps"] = "first_steps"
    pairs: bool = Field(description="There is a file with a row that can be trained on.")
    run: bool = Field(description="A job has succeeded.")
    question: bool = Field(description="Models were asked a question side by side.")
    vote: bool
    new_votes: int = Field(description="Votes since a file was last made of votes.")
    enough_votes: int = Field(description="Votes from which on an order of models is known.")

    @classmethod
    def from_steps(cls, steps: FirstSteps) -> "FirstStepsObject":
        return cls.model_validate(asdict(steps))
