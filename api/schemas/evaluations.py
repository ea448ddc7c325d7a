"""Evaluations on the wire: what was asked of which models, how far it is, and the scores."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Discriminator, Field, Tag, WithJsonSchema

from api.schemas.body import Body
from api.schemas.jobs import METADATA, SEED, SHOWN, JobError, seconds
from api.schemas.judges import AgreementObject, JudgeObject
from api.schemas.measured import Measured
from api.schemas.progress import Retry
from api.schemas.stored import Stored
from api.schemas.suites import EvaluationSampling
from api.schemas.text import Id, Text
from models import Evaluation, Judge
from models.jobs import JobState
from services.evaluations.evaluations import (
    FEWEST_SAMPLES,
    LONGEST_PROMPT,
    MOST_SAMPLES,
    MOST_TOKENS,
    Endpoint,
    EvaluationJob,
    NewEvaluation,
)
from services.evaluations.prompts import MOST
from services.evaluations.suites import AGREEMENT, suite_of
from services.jobs.promotion import COMPLETE
from services.jobs.states import ENDED


class EndpointRequest(Body):
    """A model behind an OpenAI-compatible endpoint."""

    base_url: Id = Field(description="The address before `/chat/completions`.")
    model: Id
    secret: Id | None = Field(None, description="The name of a key that the operator has stored.")


def _kind_of_baseline(value: Any) -> str:
    return "endpoint" if isinstance(value, dict | EndpointRequest) else "name"


# The tags are in the places of errors, which `api/errors.py` leaves out.
Baseline = Annotated[
    Annotated[Id, Tag("name")] | Annotated[EndpointRequest, Tag("endpoint")],
    Discriminator(_kind_of_baseline),
]


class SamplingRequest(Body):
    """How both models are sampled; what is left out is the suite's."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)


class EvaluationRequest(Body):
    """What is evaluated and how, without the file of prompts."""

    model: Id = Field(description="The name of the model that is evaluated.")
    suite: Id = Field(description="`GET /v1/suites` lists them.")
    baseline: Baseline | None = Field(
        None, description="A model's name, or an endpoint, that answers the same prompts."
    )
    judge: Id | None = Field(None, description="The id of a judge.")
    judge_prompt: Text | None = Field(
        None,
        max_length=LONGEST_PROMPT,
        description="Instead of the suite's own; it holds {prompt}, {first} and {second}.",
    )
    orders: int = Field(
        2, ge=1, le=2, description="2: a judge sees each two answers in both orders."
    )
    samples: int | None = Field(
        None,
        ge=FEWEST_SAMPLES,
        le=MOST_SAMPLES,
        description="Answers to each prompt, of the suite `diversity`; 5 if left out.",
    )
    limit: int | None = Field(
        None, ge=1, le=MOST, description="Ask only so many of the prompts, drawn by `seed`."
    )
    seed: Annotated[int | None, WithJsonSchema(SEED)] = Field(
        None, ge=0, lt=2**31, description="0 if left out."
    )
    sampling: SamplingRequest | None = None
    deploy: bool = Field(
        False,
        description="Deploy the models that are not deployed, and stop them at the end.",
    )
    metadata: Annotated[dict[Text, Text] | None, WithJsonSchema(METADATA)] = None

    def request_with(self, data: str) -> NewEvaluation:
        """The request for the prompts of the file `data`."""
        baseline = self.baseline
        if isinstance(baseline, EndpointRequest):
            baseline = Endpoint(**baseline.model_dump())
        sampling = self.sampling.model_dump(exclude_none=True) if self.sampling else {}
        return NewEvaluation(
            model=self.model,
            suite=self.suite,
            data=data,
            baseline=baseline,
            judge=self.judge,
            judge_prompt=self.judge_prompt,
            orders=self.orders,
            samples=self.samples,
            limit=self.limit,
            seed=self.seed,
            sampling=sampling,
            deploy=self.deploy,
            metadata=self.metadata or {},
        )


DATA = "The file of prompts; for a suite that reads pairs, of preference pairs."


class CreateEvaluation(EvaluationRequest):
    """A request for an evaluation."""

    data: Id = Field(description=DATA)

    def request(self) -> NewEvaluation:
        return self.request_with(self.data)


class CheckEvaluation(EvaluationRequest):
    """A request for an evaluation whose file may not be uploaded yet."""

    data: Id | None = Field(None, description=DATA)

    def request(self) -> NewEvaluation:
        return self.request_with(self.data or "")


class EvaluationCheck(BaseModel):
    """An evaluation that would be accepted. Nothing was created."""

    object: Literal["evaluation.check"] = "evaluation.check"
    model: str
    suite: str
    sampling: EvaluationSampling = Field(description="With what the suite adds.")


class EvaluationSuite(BaseModel):
    """The suite of an evaluation and the file of its prompts."""

    name: str
    title: str
    data: str = Field(description="The id of the file.")
    sha256: str | None = Field(description="Of the file's bytes.")


class EvaluationSide(BaseModel):
    """A model that answers. What identifies its weights is null until it has been asked, and for an
    endpoint.
    """

    model: str
    kind: Literal["model", "endpoint"]
    base_url: str | None
    secret: str | None = Field(description="The name of an endpoint's key.")
    checkpoint: str | None
    weights_sha256: str | None
    template_sha256: str | None = Field(description="Of the chat template.")
    engine: str | None = Field(description="Its version.")

    @classmethod
    def from_stored(cls, side: dict[str, Any]) -> "EvaluationSide":
        known = {name: side.get(name) for name in cls.model_fields if name != "kind"}
        kind = "endpoint" if side.get("base_url") else "model"
        return cls.model_validate(known | {"kind": kind})


class EvaluationCounts(Stored, total=False):
    """Prompts, answers and judgments so far. Of a suite that reads pairs, prompts are its pairs."""

    of: Annotated[int, Field(description="Prompts in the file, each once.")]
    prompts: Annotated[int, Field(description="Prompts that are asked.")]
    answered: Annotated[
        int, Field(description="Prompts that all models have answered; pairs that were measured.")
    ]
    judged: Annotated[int, Field(description="Prompts that the judge has judged.")]
    cut_off: Annotated[int, Field(description="Prompts with an answer that hit `max_tokens`.")]
    unparsed: Annotated[int, Field(description="Judgments without a verdict.")]
    failed: Annotated[int, Field(description="Answers and judgments that are missing.")]
    empty: Annotated[int, Field(description="Rows that were left out: no prompt in them.")]
    repeated: Annotated[int, Field(description="Rows that were left out: an earlier prompt.")]


class EvaluationProgress(Stored, total=False):
    """What the worker does now, and how much of it is done."""

    phase: (
        Literal["waiting_for_models", "answers", "judgments", "likelihoods", "embeddings", "scores"]
        | None
    )
    done: int | None
    total: int | None
    eta_s: Annotated[float | None, Field(description="Seconds that are left of the phase.")]
    retry: Retry | None


class Score(Stored, total=False):
    """A metric of all prompts, or of those of a category. `difference` is paired by prompt: the
    model's minus the baseline's.
    """

    metric: str
    category: str | None
    model: Measured | None
    baseline: Measured | None
    difference: Measured | None


class EvaluationPreference(Stored, total=False):
    """How often the judge prefers the model's answer. A draw counts as half a win.

    `flip_rate`: how often the verdict changes with the order. `first_wins`: how often the answer
    shown first wins. `length_controlled`: the win rate for answers of equal length.
    """

    win_rate: Measured | None
    flip_rate: Measured | None
    first_wins: Measured | None
    wins: int
    draws: int
    losses: int
    unparsed: int
    length_controlled: Measured | None


class EvaluationRewards(Stored, total=False):
    """Histograms of rewards on common edges; there is one more edge than counts."""

    edges: list[float]
    model: list[int]
    baseline: list[int] | None


class EvaluationExcluded(Stored, total=False):
    """Pairs that could not be measured, for one reason; `line` and `message` are of the first."""

    reason: Annotated[str, Field(description="Such as `prompt_too_long` or `special_token`.")]
    pairs: int
    line: int
    message: str


class EvaluationReading(Stored, total=False):
    """How pairs are turned into tokens, and the precision: as in the run of the tuned model."""

    max_length: int
    overlong: str
    special_tokens: str
    turns: str
    reasoning: str
    precision: str


class EvaluationDiversity(Stored, total=False):
    """What the similarities of the suite `diversity` were computed with: they compare only with
    those of the same embedder. It reads the first `max_tokens` tokens of an answer.
    """

    embedder: str
    embedder_sha256: Annotated[str, Field(description="Of its weights.")]
    max_tokens: int
    embedded: Annotated[int, Field(description="Answers that were turned into vectors.")]
    truncated: Annotated[int, Field(description="Of these, answers that are longer.")]


class EvaluationObject(BaseModel):
    """An evaluation: waiting, running, or ended with scores or an error."""

    id: str
    object: Literal["evaluation"] = "evaluation"
    created_at: int
    started_at: int | None
    finished_at: int | None
    status: str
    suite: EvaluationSuite
    model: EvaluationSide
    baseline: EvaluationSide | None
    judge: JudgeObject | None
    orders: int
    samples: int | None = Field(
        description="Answers to each prompt; null for a suite that asks once."
    )
    limit: int | None
    seed: int
    sampling: EvaluationSampling
    judge_prompt: str | None
    deploy: bool
    metadata: dict[str, str]
    gated_job: str | None = Field(description="The job whose gates wait for this evaluation.")
    counts: EvaluationCounts
    is_subset: bool = Field(description="Only a part of the prompts was asked.")
    is_incomplete: bool = Field(
        description="It has ended with less than 95 % of its prompts answered."
    )
    progress: EvaluationProgress | None
    scores: list[Score]
    preference: EvaluationPreference | None
    rewards: EvaluationRewards | None
    excluded: list[EvaluationExcluded] = Field(
        description="Of a suite that reads pairs: those that could not be measured."
    )
    reading: EvaluationReading | None = Field(description="Of a suite that reads pairs.")
    diversity: EvaluationDiversity | None
    judges_itself: Literal["model", "baseline"] | None = Field(
        description="The model that is the judge, too: models prefer their own answers."
    )
    labels: str | None = Field(description="Of the suite `agreement`: whose choices it is about.")
    agreement: AgreementObject | None = Field(description="Of the suite `agreement`: the result.")
    error: JobError | None

    @classmethod
    def from_record(cls, found: EvaluationJob, judge: Judge | None) -> "EvaluationObject":
        job, evaluation = found.job, found.evaluation
        state = JobState(job.state)
        counts, details = evaluation.counts, evaluation.details
        return cls(
            id=job.id,
            created_at=seconds(job.created_at) or 0,
            started_at=seconds(job.started_at),
            finished_at=seconds(job.finished_at),
            status=SHOWN.get(state, state),
            suite=EvaluationSuite(
                name=evaluation.suite,
                title=suite_of(evaluation.suite).title,
                data=job.training_file,
                sha256=evaluation.data_sha256,
            ),
            model=EvaluationSide.from_stored(evaluation.target),
            baseline=_side(evaluation.baseline),
            judge=JudgeObject.from_record(judge) if judge else None,
            orders=evaluation.orders,
            samples=evaluation.options.get("samples"),
            limit=evaluation.limit,
            seed=job.seed,
            sampling=cast("EvaluationSampling", evaluation.sampling),
            judge_prompt=evaluation.options.get("judge_prompt"),
            deploy=evaluation.deploys,
            metadata=job.metadata_,
            gated_job=evaluation.gated_job_id,
            counts=cast("EvaluationCounts", counts),
            is_subset=counts.get("prompts", 0) < counts.get("of", 0),
            is_incomplete=state in ENDED and is_incomplete(evaluation),
            progress=cast("EvaluationProgress | None", None if state in ENDED else job.progress),
            scores=cast("list[Score]", evaluation.scores),
            preference=cast("EvaluationPreference | None", details.get("preference")),
            rewards=cast("EvaluationRewards | None", details.get("rewards")),
            excluded=cast("list[EvaluationExcluded]", details.get("excluded", [])),
            reading=cast("EvaluationReading | None", evaluation.options.get("reading")),
            diversity=cast("EvaluationDiversity | None", details.get("diversity")),
            judges_itself=details.get("judges_itself"),
            labels=evaluation.options.get("labels"),
            agreement=cast("AgreementObject | None", details.get("agreement")),
            error=JobError(**job.error) if job.error else None,
        )


def _side(stored: dict[str, Any] | None) -> EvaluationSide | None:
    return EvaluationSide.from_stored(stored) if stored else None


def is_incomplete(evaluation: Evaluation) -> bool:
    """Whether too few of the prompts were answered, or judged where no model is asked for answers,
    for the scores to stand for all of them.
    """
    counts = evaluation.counts
    done = counts.get("judged" if evaluation.suite == AGREEMENT.name else "answered", 0)
    return done < COMPLETE * counts.get("prompts", 1)
