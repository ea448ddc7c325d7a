"""The Celery task that evaluates. It is a wake-up: what to do is read from Postgres.

An evaluation goes through its phases in order. Each asks for what is missing, so that another claim
goes on where the last one ended.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import Evaluation, File, Job
from models.jobs import EVALUATED, JobState
from orpo.contract.failures import Code
from services.evaluations import deployed, labelled, prompts, scores, worklist
from services.evaluations.judges import Kind
from services.evaluations.suites import AGREEMENT, SUITES, Side
from services.jobs import claims
from services.platform import storage, traces
from services.platform.database import transaction
from services.platform.errors import Fenced, Invalid, is_disk_full
from services.platform.logs import bound
from services.platform.queue import Task
from workers import fleet, judging, rewarding, sides
from workers.answering import Answering
from workers.app import app, draining
from workers.asking import UnusableError
from workers.holding import Hold, StoppedError
from workers.sides import Answerer

logger = logging.getLogger(__name__)

NO_FILE = {
    "code": Code.BAD_DATA,
    "message": "The rows of the file of prompts are gone: upload it and create the evaluation "
    "again.",
    "param": "data",
}
NO_ROOM = {
    "code": Code.DISK_FULL,
    "message": "The disk is full: free some space and create the evaluation again. What was "
    "answered is kept.",
    "param": None,
}


@app.task(name=Task.EVALUATE)
def evaluate() -> None:
    """Run claimed evaluations one after another until none is left, or the worker is to stop."""
    while not draining.is_set() and (job := claim_next(fleet.WORKER)) is not None:
        with _taken(job):
            run(job)


@contextmanager
def _taken(job: Job) -> Iterator[None]:
    facts = {"job": job.id, "generation": job.generation}
    with bound(**facts), traces.span("evaluate", **facts):
        logger.info("claimed")
        yield


def claim_next(worker: str) -> Job | None:
    with transaction() as session:
        return claims.claim_next(session, worker, EVALUATED)


def run(job: Job) -> None:
    """Evaluate under this claim until it ends, is stopped, or the claim is lost."""
    try:
        with Hold(job) as hold:
            _end(hold, _work(hold))
    except Fenced as fenced:
        logger.warning("%s The evaluation is stopped.", fenced)
    except OperationalError:
        logger.exception("the database stayed away for longer than a lease: the claim is lost")
    # Also after a claim that was lost: what was deployed may be needed by no one now.
    with suppress(OperationalError), transaction() as session:
        deployed.take_back(session)


def _work(hold: Hold) -> dict[str, Any] | str | None:
    """Go through the phases. Return the error that ends the evaluation, or a sentence for a claim
    that is lost; None once the scores are stored or the claim is to be given back.
    """
    try:
        _phases(hold)
    except StoppedError:
        hold.persist(lambda session: claims.release(session, *hold.claim))
    except UnusableError as error:
        return error.error
    except Invalid as error:
        return {"code": error.code, "message": error.message, "param": error.param}
    except FileNotFoundError:
        return NO_FILE
    except (Fenced, OperationalError):
        raise
    except Exception as error:
        if is_disk_full(error):
            return NO_ROOM
        logger.exception("this worker can't go on with the evaluation")
        return f"The worker could not go on ({type(error).__name__}: {error})"
    return None


def _end(hold: Hold, outcome: dict[str, Any] | str | None) -> None:
    if isinstance(outcome, dict):
        hold.persist(lambda session: claims.fail(session, *hold.claim, outcome))
    elif outcome is not None:
        hold.persist(lambda session: claims.lose(session, *hold.claim, outcome))


def _phases(hold: Hold) -> None:
    hold.persist(lambda session: _begin(session, hold))
    with transaction() as session:
        evaluation = session.get_one(Evaluation, hold.job_id)
    if not worklist.is_laid_out(evaluation):
        _lay_out(hold, evaluation)
    hold.check()
    judges = _judge(hold, evaluation)
    if evaluation.suite != AGREEMENT.name:
        answerers = _models(hold, evaluation)
        hold.run(Answering(hold, evaluation, answerers).run())
        hold.check()
    if judges is not None:
        judges()
        hold.check()
    _score(hold)


def _judge(hold: Hold, evaluation: Evaluation) -> Callable[[], None] | None:
    """Wait until the judge can be asked, and return what has it judge; None without a judge."""
    if evaluation.judge_id is None:
        return None
    judge = judging.find(hold)
    if judge.kind == Kind.REWARD:
        return partial(rewarding.score, hold, judge, rewarding.find(hold, judge))
    return partial(judging.ask, hold, judging.writing(hold, evaluation, judge))


def _begin(session: Session, hold: Hold) -> None:
    """claimed -> running. The state is `running` already if this write was committed before."""
    if claims.held(session, *hold.claim).state == JobState.CLAIMED:
        claims.start(session, *hold.claim)


def _lay_out(hold: Hold, evaluation: Evaluation) -> None:
    """Draw the prompts of the file, or its labelled pairs, and store them as items."""
    with transaction() as session:
        job = session.get_one(Job, hold.job_id)
        record = session.get_one(File, job.training_file)
    if evaluation.suite == AGREEMENT.name:
        pairs = labelled.read(evaluation, record)
        hold.persist(lambda session: labelled.prepare(session, hold.job_id, pairs))
        return
    if record.rows_key is None:
        raise FileNotFoundError
    with storage.local_copy(record.rows_key) as rows:
        drawn = prompts.draw(
            rows,
            SUITES[evaluation.suite],
            limit=evaluation.limit,
            seed=hold.seed,
            empty=prompts.empty_of(record),
        )
    with hold.step() as session:
        current = session.get_one(Evaluation, hold.job_id)
        if not worklist.is_laid_out(current):
            worklist.lay_out(session, current, hold.caller.org_id, drawn)


def _models(hold: Hold, evaluation: Evaluation) -> dict[Side, Answerer]:
    """Wait until all models are ready, and note what answers."""
    named = [evaluation.target, evaluation.baseline]
    models = [side["model"] for side in named if side and not side.get("base_url")]
    routes = sides.await_deployments(hold, evaluation, list(dict.fromkeys(models)))
    answerers = sides.of_evaluation(hold, evaluation, routes)
    hold.persist(lambda session: _note_facts(session, hold.job_id, answerers))
    return answerers


def _note_facts(session: Session, evaluation_id: str, found: Mapping[Side, Answerer]) -> None:
    evaluation = session.get_one(Evaluation, evaluation_id)
    evaluation.target = {**evaluation.target, **found["model"].facts}
    if evaluation.baseline is not None and "baseline" in found:
        evaluation.baseline = {**evaluation.baseline, **found["baseline"].facts}


def _score(hold: Hold) -> None:
    """running -> finalizing -> succeeded, with the scores of all that was answered and judged."""
    hold.tell("scores", 0, 1)
    with hold.step() as session:
        # It is finalizing if the database went away after the first of the transactions.
        job = session.get_one(Job, hold.job_id)
        if job.state != JobState.FINALIZING and not claims.finalize(session, *hold.claim):
            raise StoppedError
    with transaction() as session:  # it may take seconds: not while the job's row is locked
        evaluation = session.get_one(Evaluation, hold.job_id)
        of_suite = labelled if evaluation.suite == AGREEMENT.name else scores
        summary = of_suite.summarise(session, evaluation, hold.caller.org_id)

    def write(session: Session) -> None:
        current = session.get_one(Evaluation, hold.job_id)
        scores.store(session, current, summary)
        if current.suite == AGREEMENT.name:
            labelled.store_with_judge(session, current, summary.details["agreement"])
        claims.succeed_with_scores(session, *hold.claim)

    hold.persist(write)
