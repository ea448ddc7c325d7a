"""The phase in which models say how likely the answers of pairs are: `python -m orpo.likelihoods`,
in a sandbox, first for the model, then for its baseline. No engine is asked.

What was measured before, in this evaluation or another one, is not measured again. Each number is
stored within half a second, so that a killed worker loses only what was on its way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Evaluation, EvaluationItem, File, Job
from orpo.contract.likelihoods import LIKELIHOODS, READING, Likelihood
from orpo.contract.methods import Orpo
from orpo.contract.rundir import Level
from orpo.contract.spec import RunSpec, write_spec
from services.evaluations import judgments, likelihoods, prompts, worklist
from services.evaluations.likelihoods import Measured
from services.evaluations.suites import Side
from services.platform import folders, storage
from services.platform.database import transaction
from services.platform.errors import OddsmithError
from services.processes.verbs import VerbError, run_verb, time_for
from services.runs import checkpoints, job_events
from workers.asking import UnusableError
from workers.holding import Hold
from workers.spec import base_of, spec_of

# Of each side: the model, and the spec that names it.
Models = Mapping[Side, tuple[Measured, RunSpec]]

# For each pair, on a slow CPU; and to load the weights.
PAIR_S, LOAD_S = 120.0, 1800.0


class Unmeasured(UnusableError):
    """A model can't be measured: `message` and `hint` are for the user, `param` is the side."""

    def __init__(self, message: str, hint: str | None, param: str) -> None:
        super().__init__(message, "not_measured")
        self.hint, self.param = hint, param


@dataclass(frozen=True)
class Work:
    """What one side lacks: by line of the file, the keys of both answers."""

    side: Side
    spec: RunSpec
    missing: Mapping[int, list[str]]


def measure(hold: Hold, evaluation: Evaluation) -> None:
    """Measure what is missing of both sides, and note why pairs are left out.

    Raises Unmeasured if a model can't be measured, or no pair can; FileNotFoundError if the file of
    pairs is gone; and what `Hold.check` raises.
    """
    models: Models = {side: _find(hold, evaluation, side) for side in _sides(evaluation)}
    hold.persist(lambda session: _note_facts(session, hold, models))
    with transaction() as session:
        job = session.get_one(Job, hold.job_id)
        rows_key = session.get_one(File, job.training_file).rows_key
    if rows_key is None:
        raise FileNotFoundError
    with storage.local_copy(rows_key) as rows:
        works, pairs = _plan(hold, evaluation, models, rows)
        left = sum(len(work.missing) for work in works)
        progress = _Progress(hold, total=len(works) * pairs, left=left)
        for work in works:
            if work.missing:
                _work_off(hold, work, rows, progress)
    _conclude(hold, pairs)


def _sides(evaluation: Evaluation) -> list[Side]:
    return ["model"] if evaluation.baseline is None else ["model", "baseline"]


def _name(evaluation: Evaluation, side: Side) -> str:
    found = evaluation.target if side == "model" else evaluation.baseline or {}
    return found["model"]


def _find(hold: Hold, evaluation: Evaluation, side: Side) -> tuple[Measured, RunSpec]:
    try:
        with transaction() as session:
            model = _name(evaluation, side)
            found = likelihoods.find(session, hold.caller, model, evaluation.id)
            return found, _spec(session, found, evaluation)
    except OddsmithError as error:
        if error.param is None:
            raise
        hint = "Create the evaluation again with another model."
        raise Unmeasured(error.message, hint, side) from None


def _spec(session: Session, model: Measured, evaluation: Evaluation) -> RunSpec:
    """The spec that names a model, with the evaluation's settings for reading pairs."""
    read_as = Orpo.model_validate(evaluation.options["reading"])
    if model.job is None or model.checkpoint is None:
        path = Path(model.base.path)
        of_base = base_of(model.base)
        return RunSpec(job_id=evaluation.id, **of_base, train_path=path, method=read_as)
    spec = spec_of(session, model.job)
    method = spec.method.model_copy(update={name: getattr(read_as, name) for name in READING})
    changes = {
        "job_id": evaluation.id,
        "method": method,
        "held_out_path": None,
        "tokens_path": None,
        "reward_path": None,
        "resume_from": checkpoints.folder(model.checkpoint),
    }
    return spec.model_copy(update=changes)


def _note_facts(session: Session, hold: Hold, models: Models) -> None:
    """Store what is measured: the same name may mean other weights later."""
    evaluation = session.get_one(Evaluation, hold.job_id)
    evaluation.target = {**evaluation.target, **models["model"][0].facts}
    if evaluation.baseline is not None:
        evaluation.baseline = {**evaluation.baseline, **models["baseline"][0].facts}


# --- what is missing ------------------------------------------------------------------------------


def _plan(
    hold: Hold,
    evaluation: Evaluation,
    models: Models,
    rows: Path,
) -> tuple[list[Work], int]:
    """Write the keys of all likelihoods into the items; return what each side lacks, and the number
    of pairs.
    """
    reading = evaluation.options["reading"]
    with transaction() as session:
        of_it = EvaluationItem.evaluation_id == hold.job_id
        query = select(EvaluationItem.line, EvaluationItem.place).where(of_it)
        places = {line: place for line, place in session.execute(query)}  # noqa: C416  typed
    keys: dict[Side, dict[int, list[str]]] = {side: {} for side in models}
    for line, _, row in _rows(rows):
        if line in places:
            for side, (model, _) in models.items():
                keys[side][line] = likelihoods.keys(model.identity, reading, prompts.pair_of(row))
    named = {
        place: [key for of_side in keys.values() for key in of_side[line]]
        for line, place in places.items()
    }

    def write(session: Session) -> set[str]:
        worklist.note_judgments(session, hold.job_id, named)
        wanted = {key for of_item in named.values() for key in of_item}
        return judgments.missing(session, hold.caller.org_id, wanted)

    missing = hold.persist(write)
    works = [
        Work(
            side, spec, {line: of for line, of in keys[side].items() if not missing.isdisjoint(of)}
        )
        for side, (_, spec) in models.items()
    ]
    return works, len(places)


def _rows(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Each row's line, its bytes and its value."""
    with path.open("rb") as file:
        for content in file:
            row = orjson.loads(content)
            yield row["line"], content, row


# --- measuring ------------------------------------------------------------------------------------


class _Progress:
    """Counts measured pairs of both sides, those that were known before included."""

    def __init__(self, hold: Hold, total: int, left: int) -> None:
        self._hold, self._total, self._done = hold, total, total - left
        self.add(0)

    def add(self, pairs: int) -> None:
        self._done += pairs
        self._hold.tell("likelihoods", self._done, self._total)


def _work_off(hold: Hold, work: Work, rows: Path, progress: _Progress) -> None:
    """Measure one side in a process, and store each result as it comes."""
    hold.check()
    with TemporaryDirectory() as inside, _kept(work):
        asked = _write_rows(rows, work.missing, Path(inside, "pairs.jsonl"))
        run_dir = Path(inside, "run")
        write_spec(work.spec.model_copy(update={"train_path": asked}), run_dir)
        out = run_dir / LIKELIHOODS
        out.touch()
        with out.open("rb") as lines:

            def collect() -> None:
                found = _whole_lines(lines)
                _store(hold, work.missing, found)
                progress.add(len(found))
                hold.check()

            _run(work, run_dir, collect)
            collect()


def _run(work: Work, run_dir: Path, collect: Callable[[], None]) -> None:
    folder = work.spec.resume_from or work.spec.base_model_path
    timeout_s = time_for(folder, LOAD_S) + PAIR_S * len(work.missing)
    try:
        run_verb("likelihoods", str(run_dir), timeout_s=timeout_s, meanwhile=collect)
    except VerbError as failure:
        if failure.is_fleeting:
            raise
        message = f"The likelihoods under the {work.side} could not be computed: {failure}"
        raise Unmeasured(message, failure.error.get("hint"), work.side) from None


@contextmanager
def _kept(work: Work) -> Iterator[None]:
    """Keep the files of a checkpoint from being removed meanwhile."""
    with ExitStack() as stack:
        try:
            if work.spec.resume_from is not None:
                stack.enter_context(folders.held(work.spec.resume_from))
        except FileNotFoundError:
            message = f"The files of the {work.side} are no longer on disk."
            hint = "Create the evaluation again with another model."
            raise Unmeasured(message, hint, work.side) from None
        yield


def _write_rows(rows: Path, wanted: Mapping[int, Any], out: Path) -> Path:
    with out.open("wb") as file:
        for line, content, _ in _rows(rows):
            if line in wanted:
                file.write(content)
    return out


def _whole_lines(file: IO[bytes]) -> list[Likelihood]:
    """The lines that were written since the last call; a line that is not whole stays unread."""
    found = []
    while (line := file.readline()).endswith(b"\n"):
        found.append(orjson.loads(line))
    file.seek(-len(line), 1)
    return found


def _store(hold: Hold, keys: Mapping[int, list[str]], found: Sequence[Likelihood]) -> None:
    new = [reply for each in found for reply in likelihoods.replies(keys[each["line"]], each)]

    def write(session: Session) -> None:
        judgments.store(session, hold.caller.org_id, new)
        # A number is progress, as a checkpoint is in a training.
        session.get_one(Job, hold.job_id).attempts = 0

    if new:
        hold.persist(write)


# --- what was left out ----------------------------------------------------------------------------


def _conclude(hold: Hold, pairs: int) -> None:
    """Note with each item why it was not measured, and say how many of the pairs were not."""

    def note(session: Session) -> tuple[int, str]:
        found = likelihoods.left_out(session, hold.job_id, hold.caller.org_id)
        failed = {(each.place, each.side): each.message for each in found}
        worklist.note_failures(session, hold.job_id, failed)
        sentence = _sentence(likelihoods.by_reason(found), pairs)
        if sentence:
            job_events.record(session, *hold.claim, message=sentence, level=Level.WARN)
        return len({each.place for each in found}), sentence

    left_out, sentence = hold.persist(note)
    if left_out == pairs:
        raise Unmeasured(sentence, "Choose other pairs, or another model.", "data")


def _sentence(reasons: Sequence[Mapping[str, Any]], pairs: int) -> str:
    """How many pairs can't be measured and why; empty if all can."""
    if not reasons:
        return ""
    left_out = sum(each["pairs"] for each in reasons)
    counts = ", ".join(f"{each['pairs']} {each['reason']}" for each in reasons)
    first = f"Line {reasons[0]['line']}: {reasons[0]['message']}"
    return f"{left_out} of {pairs} pairs can't be measured ({counts}). {first}"
