"""Votes on the wire: a vote, what votes say of models, and what file they become."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas.body import Body
from api.schemas.chat import MAX_CHARACTERS
from api.schemas.measured import Measured
from api.schemas.text import Id, Text
from models.comparisons import Choice, Reason
from services.votes.pairs import Found
from services.votes.votes import Filter, Vote

LONGEST_NOTE = 2_000


class Edit(Body):
    """An answer as it should have been. It becomes the chosen one of a pair."""

    side: int = Field(ge=0, le=1)
    text: Text = Field(min_length=1, max_length=MAX_CHARACTERS)


class CastVote(Body):
    """Which answer was better, why, and what the ideal answer would be."""

    choice: Choice = Field(strict=False)
    reason: Reason | None = Field(None, strict=False)
    note: Text | None = Field(None, max_length=LONGEST_NOTE)
    edit: Edit | None = Field(
        None, description="Of the better answer; with a tie or both_bad, of either one."
    )

    def vote(self) -> Vote:
        """The vote as services take it."""
        edit = self.edit.model_dump() if self.edit else None
        return Vote(self.choice, self.reason, self.note, edit)


class VoteFilter(Body):
    """Which votes are meant; all of them, without a field."""

    model: Id | None = Field(None, description="Votes on answers of this model.")
    against: Id | None = Field(None, description="And on answers of this one.")
    choice: Choice | None = Field(None, strict=False)
    reason: Reason | None = Field(None, strict=False)
    evaluation: Id | None = Field(
        None, description="Blind votes on the answers of this evaluation."
    )

    def filter(self) -> Filter:
        """The filter as services take it."""
        return Filter(**self.model_dump())


class PreviewVotes(Body):
    """Which votes a file is to be made of."""

    filter: VoteFilter = Field(default_factory=lambda: VoteFilter.model_validate({}))


class MakeVotesFile(PreviewVotes):
    """Which votes a file is to be made of, and what it is called."""

    filename: Text | None = Field(None, max_length=255)


class VoteCounts(BaseModel):
    """What became of each vote. Those that are not among `pairs` are left out of the file."""

    votes: int
    pairs: int
    edited: int = Field(description="Pairs whose chosen answer a person has edited.")
    ties: int
    both_bad: int
    not_a_pair: int = Field(description="The sides were asked different things, or answered alike.")
    cut_off: int = Field(description="The better answer ended at max_tokens.")
    held_out: int = Field(description="The prompt is a held-out one of a run whose model answered.")
    contradictions: int = Field(description="Votes that name each of the same two answers better.")
    repeated: int


class VotesPreview(BaseModel):
    """What a file of these votes would hold."""

    object: Literal["votes.preview"] = "votes.preview"
    counts: VoteCounts
    contradicted: list[list[str]] = Field(
        description="Ids of comparisons whose votes contradict each other, at most 20 groups."
    )

    @classmethod
    def from_found(cls, found: Found) -> "VotesPreview":
        counts = VoteCounts.model_validate(found.counts_as_json())
        return cls(counts=counts, contradicted=found.contradicted)


class MadeFrom(BaseModel):
    """The votes that a file was made of, and what became of each."""

    votes: dict[str, str]
    counts: VoteCounts


class RankedModel(BaseModel):
    """A model by its strength in log odds, and how often it would beat an average one of its group.

    Models of different groups were never compared, directly or by others.
    """

    model: str
    group: int
    strength: Measured
    against_average: Measured
    early: bool = Field(description="Too few votes for an order.")
    wins: int
    draws: int
    losses: int


class RankedPair(BaseModel):
    """How often `model` beats `other`; a draw counts as half."""

    model: str
    other: str
    win_rate: Measured | None
    at_equal_length: Measured | None = Field(
        description="The win rate if both answers were equally long; null where it isn't known."
    )
    early: bool
    wins: int
    draws: int
    losses: int


class Ranking(BaseModel):
    """The models that people have voted on. `counted` of `votes` are on two models that were asked
    the same.
    """

    object: Literal["votes.ranking"] = "votes.ranking"
    votes: int
    counted: int
    enough: int = Field(description="Votes from which on an order is no longer `early`.")
    models: list[RankedModel]
    pairs: list[RankedPair]
    agreement: Measured | None = Field(
        description="How often two voters said the same of the same two answers; null if no two "
        "voters saw the same. `n` counts prompts."
    )
    side: Measured | None = Field(
        description="How often the answer on the left wins between equal models; null if no two "
        "models were shown in both orders."
    )

    @classmethod
    def from_found(cls, found: dict[str, Any]) -> "Ranking":
        return cls.model_validate(found)
