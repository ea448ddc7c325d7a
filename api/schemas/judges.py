"""Judges on the wire."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.body import Body
from api.schemas.measured import Measured
from api.schemas.stored import Stored
from api.schemas.suites import EvaluationSampling
from api.schemas.text import Id, Text
from models import Judge
from services.evaluations.agreements import MOST, Labels
from services.evaluations.judges import Kind, NewJudge


class JudgeSampling(Body):
    """How a judge that writes text is sampled."""

    temperature: float | None = Field(None, ge=0, le=2, description="0 if left out.")
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(
        None, ge=1, le=32_768, description="Of a reply, thoughts included; 1024 if left out."
    )


class CreateJudge(Body):
    """A judge: an endpoint of another service, a deployed model, or a reward model."""

    kind: Kind = Field(
        description="`openai`: an endpoint of another service. `deployment`: a model of yours that "
        "is deployed. `reward`: a model of yours that was trained with the method `reward`.",
        strict=False,
    )
    model: Id = Field(description="The model's name at the endpoint, or in this installation.")
    name: Text | None = Field(
        None, min_length=1, max_length=200, description="The model's name if left out."
    )
    base_url: Text | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="Of an `openai` judge: the address before `/chat/completions`. Private "
        "networks only where the operator allows them.",
    )
    secret: Text | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="The name of a key in the operator's setting ODDSMITH_ENDPOINT_SECRETS. It is "
        "sent to the base_url that it stands there with, and to no other.",
    )
    sampling: JudgeSampling | None = None

    def request(self) -> NewJudge:
        sampling = self.sampling.model_dump(exclude_none=True) if self.sampling else {}
        return NewJudge(
            kind=self.kind,
            model=self.model,
            name=self.name,
            base_url=self.base_url,
            secret=self.secret,
            sampling=sampling,
        )


class AgreementObject(Stored, total=False):
    """How often a judge agrees with people.

    `average` is over both orders of the answers; `both` counts a pair if both orders are right;
    `equal` if both orders name the same answer. `decided` leaves out the pairs that people call
    equal, and counts a draw of the judge as half: 0.5 is a coin. `worse_than_a_coin` is true if the
    whole interval of `decided` lies below 0.5. `n` counts the pairs with a verdict in both orders,
    `unparsed` the others.
    """

    average: Measured | None
    both: Measured | None
    equal: Measured | None
    decided: Measured | None
    unparsed: int
    n: int
    worse_than_a_coin: bool
    evaluation: str
    measured_at: int


class JudgeObject(BaseModel):
    """A judge, with its agreement with people where it was measured, by the kind of labels."""

    id: str
    object: Literal["judge"] = "judge"
    created_at: int
    name: str
    kind: Kind
    model: str
    base_url: str | None
    secret: str | None = Field(description="The name of its key; the key itself is never shown.")
    sampling: EvaluationSampling = Field(description="Empty for a reward model.")
    agreement: dict[str, AgreementObject]

    @classmethod
    def from_record(cls, judge: Judge) -> "JudgeObject":
        return cls.model_validate(
            {
                "id": judge.id,
                "created_at": int(judge.created_at.timestamp()),
                "name": judge.name,
                "kind": judge.kind,
                "model": judge.model,
                "base_url": judge.base_url,
                "secret": judge.secret,
                "sampling": judge.sampling,
                "agreement": judge.agreement,
            }
        )


class MeasureAgreement(Body):
    """Which people's choices a judge is compared with."""

    labels: Labels = Field(
        description="`llmbar`: a file as LLMBar publishes it (`input`, `output_1`, `output_2`, "
        "`label`). `pandalm`: as PandaLM does (`instruction`, `response1`, `response2`, "
        "`annotator1` to `annotator3`). `votes`: the votes of your organisation on comparisons.",
        strict=False,
    )
    data: Id | None = Field(None, description="The file with the labels; null for `votes`.")
    limit: int | None = Field(
        None, ge=1, le=MOST, description="Draw only so many of the pairs; all if left out."
    )
