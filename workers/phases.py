"""The phases of an evaluation, in their order: prompts, models, answers, judgments or vectors,
scores; of one that reads pairs: pairs, likelihoods, scores.

Each asks for what is missing, so that another claim goes on where the last one ended.
"""

from collections.abc import Callable, Mapping
from functools import partial

from sqlalchemy.orm import Session

from models import Evaluation, File, Job, Judge
from models.jobs import JobState
from orpo.contract.rundir import Level
from services.evaluations import answers, labelled, prompts, scores, worklist
from services.evaluations.judges import Kind
from services.evaluations.scores import Summary
from services.evaluations.similarity import Vectors
from services.evaluations.suites import AGREEMENT, SUITES, Side, suite_of
from services.jobs import claims
from services.platform import storage
from services.platform.database import transaction
from services.runs import job_events
from services.serving.deployments import Route
from workers import embedding, judging, likelihoods, rewarding, sides
from workers.answering import Answering
from workers.holding import Hold, StoppedError
from workers.sides import Answerer

Routes = Mapping[str, Route]

TWO_TEMPLATES = (
    "The model and the baseline have different chat templates: they see the same prompts in "
    "different forms, which is a part of the difference between their scores."
)


def run(hold: Hold) -> None:
    """Go through the phases and end the job as succeeded.

    Raises Fenced and StoppedError as `Hold.check` does; UnusableError, Unjudged and Invalid with a
    sentence for the user; FileNotFoundError if the file of prompts is gone.
    """
    hold.persist(lambda session: _begin(session, hold))
    evaluation = _read(hold)
    if not worklist.is_laid_out(evaluation):
        _lay_out(hold, evaluation)
    hold.check()
    vectors = None
    if suite_of(evaluation.suite).reads_pairs:
        likelihoods.measure(hold, evaluation)
    else:
        vectors = _ask(hold, evaluation)
    hold.check()
    _score(hold, vectors)


def _ask(hold: Hold, evaluation: Evaluation) -> Vectors | None:
    """Have the models answer, and the judge judge the answers; return the vectors of the samples,
    where the suite takes several.
    """
    has_samples = suite_of(evaluation.suite).samples is not None
    embedder = embedding.find(hold) if has_samples else None
    judge = judging.find(hold) if evaluation.judge_id is not None else None
    routes = sides.await_deployments(hold, evaluation, _models(evaluation, judge))
    judge_all = _judge(hold, judge, routes) if judge is not None else None
    if not _judges_labels(evaluation):
        answerers = sides.of_evaluation(hold, evaluation, routes)
        hold.persist(lambda session: _note_facts(session, hold, answerers))
        hold.run(Answering(hold, evaluation, answerers).run())
    hold.check()
    if judge_all is not None:
        judge_all()
        hold.check()
    return embedding.vectors(hold, evaluation, embedder) if embedder else None


def _read(hold: Hold) -> Evaluation:
    with transaction() as session:
        return session.get_one(Evaluation, hold.job_id)


def _judges_labels(evaluation: Evaluation) -> bool:
    """Whether it compares a judge with people: the answers are in the file."""
    return evaluation.suite == AGREEMENT.name


def _begin(session: Session, hold: Hold) -> None:
    """claimed -> running. The state is `running` already if this write was committed before."""
    if claims.held(session, *hold.claim).state == JobState.CLAIMED:
        claims.start(session, *hold.claim)


def _lay_out(hold: Hold, evaluation: Evaluation) -> None:
    """Draw the prompts of the file, or its labelled pairs, and store them as items."""
    with transaction() as session:
        job = session.get_one(Job, hold.job_id)
        record = session.get_one(File, job.training_file)
    if _judges_labels(evaluation):
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
            samples=answers.samples(evaluation),
        )
    with hold.step() as session:
        current = session.get_one(Evaluation, hold.job_id)
        worklist.lay_out(session, current, hold.caller.org_id, drawn)


def _models(evaluation: Evaluation, judge: Judge | None) -> list[str]:
    """The models of ours that must answer, each once."""
    named = [] if _judges_labels(evaluation) else [evaluation.target, evaluation.baseline]
    models = [side["model"] for side in named if side and not side.get("base_url")]
    if judge is not None and judge.kind == Kind.DEPLOYMENT:
        models.append(judge.model)
    return list(dict.fromkeys(models))


def _note_facts(session: Session, hold: Hold, found: Mapping[Side, Answerer]) -> None:
    """Store what answers: the same name may mean other weights later."""
    evaluation = session.get_one(Evaluation, hold.job_id)
    before = evaluation.target
    evaluation.target = {**before, **found["model"].facts}
    if evaluation.baseline is not None and "baseline" in found:
        evaluation.baseline = {**evaluation.baseline, **found["baseline"].facts}
    templates = {side.facts.get("template_sha256") for side in found.values()} - {None}
    if len(templates) > 1 and evaluation.target != before:
        job_events.record(session, *hold.claim, message=TWO_TEMPLATES, level=Level.WARN)


def _judge(hold: Hold, judge: Judge, routes: Routes) -> Callable[[], None]:
    """Return what has the answers judged, as far as they were not judged before.

    Raises Unjudged or UnusableError, before a model is asked, for a judge that can't be used.
    """
    if judge.kind == Kind.REWARD:
        return partial(rewarding.score, hold, judge, rewarding.find(hold, judge))
    return partial(judging.ask, hold, judging.writing(hold, judge, routes))


def _score(hold: Hold, vectors: Vectors | None) -> None:
    """running -> finalizing -> succeeded, with the scores of all that was answered and judged;
    `vectors` are those of the samples, where the suite takes several.
    """
    hold.tell("scores", 0, 1)
    with hold.step() as session:
        # It is finalizing if the database went away after the first of the transactions.
        job = session.get_one(Job, hold.job_id)
        if job.state != JobState.FINALIZING and not claims.finalize(session, *hold.claim):
            raise StoppedError
    with transaction() as session:  # it may take seconds: not while the job's row is locked
        evaluation = session.get_one(Evaluation, hold.job_id)
        if _judges_labels(evaluation):
            summary = labelled.summarise(session, evaluation, hold.caller.org_id)
        else:
            summary = scores.summarise(session, evaluation, hold.caller.org_id, vectors)
    hold.persist(lambda session: _store(session, hold, summary))


def _store(session: Session, hold: Hold, summary: Summary) -> None:
    evaluation = session.get_one(Evaluation, hold.job_id)
    scores.store(session, evaluation, summary)
    if _judges_labels(evaluation):
        labelled.store_with_judge(session, evaluation, summary.details["agreement"])
    claims.succeed_with_scores(session, *hold.claim)
