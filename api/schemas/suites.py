"""Suites on the wire: what each measures and needs."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.stored import Stored
from services.evaluations.suites import Judging, Need, Suite


class EvaluationSampling(Stored, total=False):
    """How answers are sampled; what is absent is left to the engine."""

    temperature: float | None
    top_p: float | None
    max_tokens: int | None


class SuiteObject(BaseModel):
    """A suite: what it measures, and which parts of a request it needs."""

    id: str = Field(description="The name that a request has in `suite`.")
    object: Literal["evaluation.suite"] = "evaluation.suite"
    title: str
    measures: str
    metrics: list[str] = Field(description="The names in its scores, and in gates.")
    judge: Need = Field(description="Whether a request names a judge.")
    baseline: Need = Field(description="Whether a request names a baseline.")
    judging: Judging = Field(
        description="What the judge does. `likelihoods`: the suite reads pairs, and the models say "
        "how likely both answers are; none is asked."
    )
    fields: list[str] = Field(description="Of a row of the file, that the suite reads.")
    outputs: str | None = Field(
        description="The field whose answers are the baseline where a request names none."
    )
    sampling: EvaluationSampling = Field(description="Unless a request says otherwise.")
    official_sha256: str | None = Field(
        description="Of the official prompt file; null where any file will do."
    )
    samples: int | None = Field(
        description="Answers to each prompt, unless a request says otherwise; null: always one."
    )
    lower_is: str | None = Field(
        description="What a lower value means; null where higher is better. With it, a suite is "
        "not for gates."
    )

    @classmethod
    def from_suite(cls, suite: Suite) -> "SuiteObject":
        return cls(
            id=suite.name,
            title=suite.title,
            measures=suite.measures,
            metrics=list(suite.metrics),
            judge=suite.judge,
            baseline=suite.baseline,
            judging=suite.judging,
            fields=list(suite.fields),
            outputs=suite.outputs,
            sampling=EvaluationSampling(**suite.sampling),
            official_sha256=suite.official_sha256,
            samples=suite.samples,
            lower_is=suite.lower_is,
        )
