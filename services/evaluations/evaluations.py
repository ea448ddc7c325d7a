"""Evaluations as users see them: create, look up, list. Cancelling and deleting are those of jobs.

An evaluation is a job with the purpose `evaluation` and a row of its own under the same id. Knows
no engine: what the worker does with it is in `workers/evaluations.py`.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from evals import judge_prompts
from models import Evaluation, Job
from models.base import new_id
from models.jobs import JobState, Purpose
from orpo.contract.spec import VERSION
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.evaluations import endpoints, judges, likelihoods, prompts
from services.evaluations.judges import Kind
from services.evaluations.suites import SUITES, Need, Suite
from services.jobs import checks, jobs, repeats
from services.platform import traces
from services.platform.errors import Invalid, OddsmithError
from services.platform.pages import AT_ONCE, paginate
from services.platform.queue import Task, send
from services.serving import deployments
from services.serving.deployments import Served

logger = logging.getLogger(__name__)

METHOD = {"type": "evaluation"}
MOST_TOKENS = 100_000
LONGEST_PROMPT = 100_000
FEWEST_SAMPLES, MOST_SAMPLES = 2, 20


@dataclass(frozen=True)
class Endpoint:
    """A model at an OpenAI-compatible address; `secret` is the name of the operator's key to it."""

    base_url: str
    model: str
    secret: str | None = None


@dataclass(frozen=True)
class NewEvaluation:
    """A request to create an evaluation, as the API received it.

    `data` is a file's id. It is empty in a request that is only checked, before its file is
    uploaded.
    """

    model: str
    suite: str
    data: str
    baseline: str | Endpoint | None = None
    judge: str | None = None
    judge_prompt: str | None = None
    orders: int = 2
    # Answers to each prompt; None for the suite's own number.
    samples: int | None = None
    limit: int | None = None
    seed: int | None = None
    # Of {"temperature", "top_p", "max_tokens"}; the suite's own for those left out.
    sampling: dict[str, Any] = field(default_factory=dict)
    deploy: bool = False
    metadata: dict[str, str] = field(default_factory=dict)

    def sha256(self) -> str:
        fields = asdict(self)
        if self.samples is None:  # as an earlier release hashes the same request
            del fields["samples"]
        body = json.dumps(fields, sort_keys=True)
        return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True)
class EvaluationJob:
    """An evaluation and its job: two rows with one id."""

    evaluation: Evaluation
    job: Job

    @property
    def id(self) -> str:
        return self.job.id


def create(
    session: Session,
    caller: Caller,
    request: NewEvaluation,
    *,
    idempotency_key: str | None = None,
    is_retry: bool = False,
    gated_job_id: str | None = None,
) -> EvaluationJob:
    """Create an evaluation, or return the one that an earlier attempt at this request created.

    `idempotency_key` and `is_retry` are as for `jobs.create`; `gated_job_id` is the job whose gates
    wait for it. Raises Invalid, NotFound or Conflict with `param`, and Mismatch when the key was
    used with another body.
    """
    sha256, evaluation_id = request.sha256(), new_id("eval")
    known = repeats.earlier(
        session, caller, sha256, evaluation_id, idempotency_key=idempotency_key, is_retry=is_retry
    )
    if known is not None:
        return get(session, caller, known)
    suite = check_settings(session, caller, request)
    file = check_file(session, caller, request, suite)
    served, baseline = check_models(session, caller, request)
    options = _options(request, suite)
    if suite.reads_pairs:
        models = [request.model, baseline["model"]] if baseline else [request.model]
        options["reading"] = likelihoods.reading(session, caller, models)
    job = Job(
        id=evaluation_id,
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        base_model=served.base_model,
        training_file=request.data,
        method=METHOD,
        seed=request.seed or 0,
        metadata_=request.metadata,
        request_sha256=sha256,
        spec_version=VERSION,
        purpose=Purpose.EVALUATION,
        # Its prompts are read by the worker that evaluates: there is nothing to prepare before.
        state=JobState.QUEUED,
    )
    evaluation = Evaluation(
        id=evaluation_id,
        suite=suite.name,
        data_sha256=file.sha256,
        target={"model": request.model},
        baseline=baseline,
        judge_id=request.judge,
        orders=request.orders,
        limit=request.limit,
        sampling=suite.sampling | request.sampling,
        options=options,
        deploys=request.deploy,
        gated_job_id=gated_job_id,
        counts={},
        scores=[],
        details={},
    )
    return queue(session, caller, EvaluationJob(evaluation, job))


def queue(
    session: Session, caller: Caller, made: EvaluationJob, **facts: str | None
) -> EvaluationJob:
    """Store a new evaluation and wake a worker; `facts` are for the audit log."""
    session.add(made.job)
    session.flush()  # the evaluation's row refers to the job's
    session.add(made.evaluation)
    session.flush()
    send(session, Task.EVALUATE)
    audit_log.record(session, caller, Action.CREATED, Object.EVALUATION, made.id, **facts)
    # This line also has the id of the request; all later ones have only the evaluation's.
    logger.info("created", extra={"job": made.id})
    traces.begin_job(made.id)
    return made


def check(session: Session, caller: Caller, request: NewEvaluation) -> Suite:
    """Raise what `create` would raise, and create nothing; return the suite. The file is checked
    if the request names one.
    """
    suite = check_settings(session, caller, request)
    if request.data:
        check_file(session, caller, request, suite)
    check_models(session, caller, request)
    return suite


def check_settings(session: Session, caller: Caller, request: NewEvaluation) -> Suite:
    """Check all that a request names but its file and its models; return its suite. Raises Invalid
    with `param`.
    """
    suite = _suite(request)
    _check_numbers(request)
    _check_samples(request, suite)
    _check_judge(session, caller, request, suite)
    if suite.reads_pairs:
        _refuse_answers(request, suite)
    return suite


def check_file(session: Session, caller: Caller, request: NewEvaluation, suite: Suite) -> Row[Any]:
    """Return what is known of the file of a request; raises Invalid unless the suite can use it."""
    file = checks.usable_file(session, caller, request.data, "data")
    about = (request.data, file.accepted, file.prompts, suite, request.limit)
    samples = _check_samples(request, suite)
    prompts.refuse_unfit(*about, samples=samples, shapes=file.shapes or ())
    return file


def check_models(
    session: Session, caller: Caller, request: NewEvaluation
) -> tuple[Served, dict[str, Any] | None]:
    """Return the model and the baseline of a request; raises what `deployments.find` raises."""
    served = _find_model(session, caller, request.model, "model")
    return served, _baseline(session, caller, request)


def get(session: Session, caller: Caller, evaluation_id: str) -> EvaluationJob:
    """Return the caller's evaluation, or raise NotFound."""
    job = jobs.get(session, caller, evaluation_id, purpose=Purpose.EVALUATION)
    return EvaluationJob(session.get_one(Evaluation, job.id), job)


def list_page(
    session: Session,
    caller: Caller,
    *,
    model: str | None = None,
    suite: str | None = None,
    after: str | None = None,
    limit: int = 20,
) -> Iterator[EvaluationJob]:
    """Yield the caller's evaluations, newest first, and one beyond the limit.

    With `model`, those of that model, and with `suite`, those of that suite.
    """
    query = select(Job).where(
        Job.org_id == caller.org_id,
        Job.purpose == Purpose.EVALUATION,
        Job.deleted_at.is_(None),
    )
    if model is not None or suite is not None:
        query = query.join(Evaluation, Evaluation.id == Job.id)
    if model is not None:
        query = query.where(Evaluation.target["model"].as_string() == model)
    if suite is not None:
        query = query.where(Evaluation.suite == suite)
    keys = (Job.created_at, Job.id)
    for job in paginate(session, query, *keys, after=after, limit=limit, at_once=AT_ONCE):
        yield EvaluationJob(session.get_one(Evaluation, job.id), job)


def find_suite(name: str) -> Suite:
    """Return the suite with this name, or raise Invalid with the `param` suite."""
    suite = SUITES.get(name)
    if suite is None:
        raise Invalid(f"There is no suite '{name}': use one of {', '.join(SUITES)}.", param="suite")
    return suite


def _suite(request: NewEvaluation) -> Suite:
    suite = find_suite(request.suite)
    for name, need, given in (
        ("baseline", suite.baseline, request.baseline),
        ("judge", suite.judge, request.judge),
    ):
        if need is Need.YES and given is None:
            raise Invalid(f"The suite '{suite.name}' needs a {name}.", param=name)
        if need is Need.NO and given is not None:
            raise Invalid(f"The suite '{suite.name}' takes no {name}: leave it out.", param=name)
    return suite


def _refuse_answers(request: NewEvaluation, suite: Suite) -> None:
    """Refuse what only makes sense where models are asked for answers."""
    if isinstance(request.baseline, Endpoint):
        raise Invalid(
            f"The suite '{suite.name}' needs the weights of the baseline, and an endpoint has none "
            "here: name a model of this installation.",
            param="baseline",
        )
    if request.sampling:
        raise Invalid(
            f"The suite '{suite.name}' asks for no answers, so nothing is sampled: leave it out.",
            param=f"sampling.{min(request.sampling)}",
        )


def _check_numbers(request: NewEvaluation) -> None:
    checks.check_seed(request.seed)
    checks.check_metadata(request.metadata)
    if request.orders not in (1, 2):
        raise Invalid("orders is 1 or 2: in how many orders a judge sees a pair.", param="orders")
    if request.limit is not None and request.limit < 1:
        raise Invalid("The limit of prompts is at least 1.", param="limit")
    for name, least, most in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("max_tokens", 1, MOST_TOKENS),
    ):
        value = request.sampling.get(name)
        if value is not None and not least <= value <= most:
            raise Invalid(f"{name} lies between {least} and {most:,}.", param=f"sampling.{name}")
    if request.sampling.get("top_p") == 0:
        raise Invalid("top_p is above 0.", param="sampling.top_p")
    if unknown := set(request.sampling) - {"temperature", "top_p", "max_tokens"}:
        name = min(unknown)
        raise Invalid(f"There is no setting '{name}' of sampling.", param=f"sampling.{name}")


def _check_samples(request: NewEvaluation, suite: Suite) -> int:
    """Return how many answers each prompt gets."""
    if suite.samples is None:
        if request.samples is not None:
            raise Invalid(
                f"The suite '{suite.name}' asks each prompt once: leave out `samples`.",
                param="samples",
            )
        return 1
    samples = suite.samples if request.samples is None else request.samples
    if not FEWEST_SAMPLES <= samples <= MOST_SAMPLES:
        raise Invalid(f"samples is {FEWEST_SAMPLES} to {MOST_SAMPLES}.", param="samples")
    if request.sampling.get("temperature") == 0:
        raise Invalid(
            f"At a temperature of 0 all answers to a prompt are the same. The suite '{suite.name}' "
            "needs a temperature above 0.",
            param="sampling.temperature",
        )
    return samples


def _options(request: NewEvaluation, suite: Suite) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if request.judge_prompt:
        options["judge_prompt"] = request.judge_prompt
    if suite.samples is not None:
        options["samples"] = request.samples or suite.samples
    return options


def _find_model(session: Session, caller: Caller, model: str, param: str) -> Served:
    """Return a model that answers; raises NotFound, Conflict, or Invalid for a reward model."""
    try:
        return deployments.find(session, caller, model)
    except OddsmithError as error:
        error.param = param
        raise


def _baseline(session: Session, caller: Caller, request: NewEvaluation) -> dict[str, Any] | None:
    if request.baseline is None:
        return None
    if isinstance(request.baseline, Endpoint):
        return _endpoint(caller, request.baseline)
    if request.baseline == request.model:
        raise Invalid(
            "The baseline is the model itself: name another one, or leave it out.",
            param="baseline",
        )
    _find_model(session, caller, request.baseline, "baseline")
    return {"model": request.baseline}


def _endpoint(caller: Caller, asked: Endpoint) -> dict[str, Any]:
    if not asked.model.strip():
        raise Invalid("Name the model at the endpoint.", param="baseline.model")
    url = endpoints.check(caller.org_id, asked.base_url, asked.secret, "baseline.")
    return asdict(asked) | {"base_url": url}


def _check_judge(session: Session, caller: Caller, request: NewEvaluation, suite: Suite) -> None:
    kind = None
    if request.judge is not None:
        judge = judges.get(session, caller, request.judge, param="judge")
        # Not deleted before the evaluation's row names it.
        session.refresh(judge, with_for_update={"read": True})
        kind = judge.kind
    if suite.name == "reward" and kind != Kind.REWARD:
        raise Invalid(
            "The suite 'reward' needs a judge of the kind 'reward': a reward model.", param="judge"
        )
    if request.judge_prompt is not None:
        _check_judge_prompt(request.judge_prompt, kind, suite)


def _check_judge_prompt(judge_prompt: str, kind: str | None, suite: Suite) -> None:
    if kind in (None, Kind.REWARD):
        raise Invalid(
            "judge_prompt is for a judge that writes: leave it out.", param="judge_prompt"
        )
    if len(judge_prompt) > LONGEST_PROMPT:
        raise Invalid(
            f"judge_prompt has at most {LONGEST_PROMPT:,} characters.", param="judge_prompt"
        )
    if wrong := judge_prompts.problem(suite.name, judge_prompt):
        raise Invalid(wrong, param="judge_prompt")
