"""Gates of a job: checked when it is created, and evaluated once its model is trained.

Whether they are passed is decided by `services/jobs/promotion.py` when the last of the evaluations
has ended.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from evals import gates as thresholds
from models import Job
from orpo.contract.methods import is_judge
from services.access.callers import Caller
from services.evaluations import evaluations
from services.evaluations.evaluations import NewEvaluation
from services.evaluations.suites import OVER_BASELINE, SUITES, Suite
from services.jobs import promotion
from services.jobs.jobs import NewJob, owner_of
from services.platform.errors import Invalid, OddsmithError
from services.runs import job_events

MOST = 8
# Gates with these in common are decided by one evaluation.
SHARED = ("suite", "data", "judge", "limit", "seed")

Gate = Mapping[str, Any]


def check(session: Session, caller: Caller, request: NewJob) -> None:
    """Raise Invalid, with the field of the gate at fault, unless all gates can be evaluated."""
    if len(request.gates) > MOST:
        raise Invalid(f"A job has at most {MOST} gates.", param="gates")
    if request.gates and is_judge(request.method):
        raise Invalid(
            "A reward model answers no prompts, so it can't be evaluated: leave out the gates.",
            param="gates",
        )
    for place, gate in enumerate(request.gates):
        try:
            _check_metric(gate)
            # Its own model is not there yet.
            asked = _request(request.model, "", [gate])
            suite = evaluations.check_settings(session, caller, asked)
            if not suite.is_scored(has_judge=asked.judge is not None):
                raise Invalid(
                    f"A gate of the suite '{suite.name}' needs a judge: without one, it has no "
                    "score until people have voted.",
                    param="judge",
                )
            evaluations.check_file(session, caller, asked, suite)
        except OddsmithError as error:
            error.param = f"gates.{place}.{error.param}"
            raise


def _check_metric(gate: Gate) -> None:
    suite = evaluations.find_suite(gate["suite"])
    if suite.lower_is:
        raise Invalid(
            f"A gate is a lower bound, and a lower value of the suite '{suite.name}' is "
            f"{suite.lower_is}: use another suite.",
            param="suite",
        )
    if gate["metric"] not in suite.metrics:
        raise Invalid(
            f"The suite '{suite.name}' has no metric '{gate['metric']}': use one of "
            f"{', '.join(suite.metrics)}.",
            param="metric",
        )
    try:
        threshold = thresholds.parse(gate["at_least"])
    except ValueError as error:
        raise Invalid(str(error), param="at_least") from None
    if threshold.relative and gate["metric"] in OVER_BASELINE:
        raise Invalid(
            f"`{gate['metric']}` compares two answers already, so it can't be relative to the "
            "base. Give a number, such as 0.5.",
            param="at_least",
        )


def evaluate(session: Session, job: Job) -> None:
    """Create the evaluations of a job's gates. The job has just succeeded, and its row is locked.

    Gates that differ only in metric and threshold share one evaluation. Where one can't be created,
    its gates are not passed, with the reason; the job's success stays.
    """
    made: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key in dict.fromkeys(map(_key, job.gates)):
        made[key] = _create(session, job, [gate for gate in job.gates if _key(gate) == key])
    if not made:
        return
    job.gates = [{**gate, **made[_key(gate)]} for gate in job.gates]
    ids = [f"`{each['evaluation']}`" for each in made.values() if each["evaluation"]]
    if ids:
        message = f"The model is evaluated for its gates: {', '.join(ids)}."
        job_events.note(session, job, message, {"kind": "gates"})
    promotion.decide(session, job)


def _key(gate: Gate) -> tuple[Any, ...]:
    return tuple(gate[name] for name in SHARED)


def _create(session: Session, job: Job, of_gates: list[Gate]) -> dict[str, Any]:
    """Return what the gates of one evaluation store of it: its id, or why there is none."""
    request = _request(job.base_model, job.fine_tuned_model or "", of_gates)
    try:
        with session.begin_nested():
            made = evaluations.create(session, owner_of(job), request, gated_job_id=job.id)
    except OddsmithError as error:
        return {"evaluation": None, "reason": f"It could not be evaluated. {error.message}"}
    return {"evaluation": made.id}


def _request(base: str, model: str, of_gates: list[Gate]) -> NewEvaluation:
    """The evaluation of gates that share one; the baseline is the base where one is needed."""
    first = of_gates[0]
    suite = SUITES[first["suite"]]
    return NewEvaluation(
        model=model,
        suite=suite.name,
        data=first["data"],
        baseline=base if any(_needs_base(suite, gate) for gate in of_gates) else None,
        judge=first["judge"],
        limit=first["limit"],
        seed=first["seed"],
        deploy=any(gate["deploy"] for gate in of_gates),
    )


def _needs_base(suite: Suite, gate: Gate) -> bool:
    if gate["metric"] in OVER_BASELINE:
        return suite.outputs is None  # else the file holds the answers to compare with
    return thresholds.parse(gate["at_least"]).relative
