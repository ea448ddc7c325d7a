"""The suite `held_out`: its worker with a core that counts what it measures, and a real one."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import Checkpoint, Evaluation, Job, JobEvent, Judgment
from models.base import new_id
from models.jobs import JobState, Purpose
from orpo.base.files import facts
from orpo.contract.likelihoods import LIKELIHOODS
from orpo.contract.manifest import read
from orpo.contract.methods import parse_method
from orpo.contract.spec import RunSpec, read_spec, write_spec
from orpo.run.likelihoods import measure_rows
from services.access.callers import Caller
from services.evaluations import evaluations, gates
from services.evaluations.evaluations import Endpoint, NewEvaluation
from services.jobs import claims, jobs
from services.jobs.jobs import NewJob
from services.platform.database import transaction
from services.platform.errors import Invalid
from services.platform.settings import get_settings
from services.processes.reach import of_verb
from services.processes.verbs import LOADS_WEIGHTS
from services.upkeep import removals
from tests import records
from tests.orpo.tiny_run import Bench, write_base, write_pairs
from tests.orpo.tiny_run import checkpoint as checkpoint_of
from tests.orpo.tiny_run import records as journal
from tests.services import evaluated, gated
from tests.services.measuring import PROBLEM, World, pair_file, tuned, world
from workers import evaluations as worker
from workers import likelihoods

__all__ = ["world"]

ESTIMATES = ("model", "baseline", "difference")


def overall(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    return {each["metric"]: each for each in evaluation.scores if each["category"] is None}


def test_pairs_are_measured_under_both_models(world: World) -> None:
    job, evaluation = world.run(baseline=world.base)
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert sorted(world.core.measured) == [
        (name, line) for name in sorted([world.base, "tuned"]) for line in range(1, 41)
    ]
    assert evaluation.counts == {
        "of": 40, "prompts": 40, "empty": 0, "repeated": 0, "answered": 39, "judged": 0,
        "cut_off": 0, "unparsed": 0, "failed": 0,
    }  # fmt: skip
    found = overall(evaluation)
    assert list(found) == ["accuracy", "log_odds_ratio", "margin", "logps_chosen", "logps_rejected"]
    accuracy = [found["accuracy"][each] for each in ESTIMATES]
    margin = [found["margin"][each] for each in ESTIMATES]
    assert [each["n"] for each in (*accuracy, *margin)] == [39] * 6
    # Even lines have a margin of 0.5, odd ones of -0.1; under the base all have 0.1.
    assert [each["value"] for each in accuracy] == pytest.approx([20 / 39, 1, 20 / 39 - 1])
    assert margin[0]["value"] == pytest.approx((20 * 0.5 - 19 * 0.1) / 39)
    assert margin[2]["value"] == pytest.approx((20 * 0.4 - 19 * 0.2) / 39)
    assert margin[2]["low"] < margin[2]["value"] < margin[2]["high"]
    assert evaluation.target["weights_sha256"] == "of tuned"
    assert evaluation.target["checkpoint"]
    assert evaluation.baseline is not None
    assert evaluation.baseline["weights_sha256"] == "of base"
    # As the run of the tuned model reads them.
    assert evaluation.options["reading"] == {
        "max_length": 77, "overlong": "drop", "special_tokens": "refuse", "turns": "last",
        "reasoning": "strip", "precision": "bf16",
    }  # fmt: skip


def test_an_item_has_both_answers_of_its_pair_and_the_numbers(world: World) -> None:
    _, evaluation = world.run(baseline=world.base)
    with transaction() as session:
        _, second, third, *_ = evaluated.items(session, evaluation.id)
    assert [message["role"] for message in second.turns[0]] == ["user"]
    assert second.reference["chosen"][0]["content"].endswith(".")
    assert second.reference["rejected"][0]["content"].endswith("!")
    assert second.result is not None
    assert second.result["accuracy"] == 1
    assert second.result["margin"] == pytest.approx(0.5)
    assert second.result["baseline"]["logps_chosen"] == -1
    ratios = second.result["log_odds_ratio"], second.result["baseline"]["log_odds_ratio"]
    assert second.change == pytest.approx(ratios[0] - ratios[1])
    assert ratios[0] > ratios[1]
    assert (third.result, third.change) == (None, None)


def test_pairs_that_can_t_be_measured_are_counted_with_their_reason(world: World) -> None:
    _, evaluation = world.run(baseline=world.base)
    excluded = {"reason": "prompt_too_long", "pairs": 1, "line": 3, "message": PROBLEM["message"]}
    assert evaluation.details["excluded"] == [excluded]
    with transaction() as session:
        (warning,) = session.scalars(
            select(JobEvent.message).where(
                JobEvent.job_id == evaluation.id, JobEvent.level == "warn"
            )
        )
        third = evaluated.items(session, evaluation.id)[2]
    assert warning == (
        f"1 of 40 pairs can't be measured (1 prompt_too_long). Line 3: {PROBLEM['message']}"
    )
    assert third.failures == {"model": PROBLEM["message"], "baseline": PROBLEM["message"]}


def test_another_evaluation_measures_only_what_is_new(world: World) -> None:
    world.run(limit=10)
    assert len(world.core.measured) == 10
    world.run()
    assert len(world.core.measured) == len(set(world.core.measured)) == 40
    # The base is read as the tuned model's run does, so that both are measured alike.
    world.run(baseline=world.base)
    assert len(world.core.measured) == len(set(world.core.measured)) == 80
    world.run(baseline=world.base)
    assert len(world.core.measured) == 80
    # Alone, the base is read by the defaults, which give other numbers.
    world.run(model=world.base)
    assert len(world.core.measured) == 120


def test_other_weights_under_the_same_name_are_measured_again(world: World) -> None:
    world.run()
    with transaction() as session:
        session.execute(update(Checkpoint).values(sha256="of another training"))
    world.run()
    assert len(world.core.measured) == 80


@pytest.mark.parametrize("moments", [(1, 2, 39), range(5, 80, 9)])
def test_a_worker_that_loses_its_claim_measures_nothing_twice(world: World, moments: Any) -> None:
    _, undisturbed = world.run(baseline=world.base)
    with transaction() as session:
        session.query(Judgment).delete()
    world.core.measured.clear()
    left = set(moments)

    def lose() -> None:
        if len(world.core.measured) in left:
            left.discard(len(world.core.measured))
            _lose_lease(world)

    world.core.before_each = lose
    evaluation_id = world.create(baseline=world.base)
    while world.look(evaluation_id)[0].state not in (JobState.SUCCEEDED, JobState.FAILED):
        worker.evaluate()
    job, evaluation = world.look(evaluation_id)
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert not left
    assert len(world.holds) == 2 + len(list(moments))  # each loss took a claim
    assert len(world.core.measured) == len(set(world.core.measured)) == 80
    assert evaluation.scores == undisturbed.scores


def _lose_lease(world: World) -> None:
    """As if the worker had stopped answering; wait until it knows."""
    with transaction() as session:
        gone = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, 1)
        held = Job.state.in_(("claimed", "running", "finalizing"))
        session.execute(update(Job).where(held).values(lease_until=gone))
        claims.reap(session)
    until = time.monotonic() + 20
    while world.holds[-1]._fenced is None:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_cancel_ends_the_process(world: World) -> None:
    evaluation_id = world.create()

    def cancel() -> None:
        if len(world.core.measured) == 5:
            with transaction() as session:
                jobs.cancel(session, world.caller, evaluation_id, Purpose.EVALUATION)
            world.holds[-1].renew()

    world.core.before_each = cancel
    worker.evaluate()
    assert world.look(evaluation_id)[0].state == JobState.CANCELLED
    assert len(world.core.measured) == 5


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"baseline": Endpoint("https://a.example.com/v1", "gpt")}, "baseline", "weights"),
    ({"baseline": "nowhere"}, "baseline", "nowhere"),
    ({"sampling": {"temperature": 0.5}}, "sampling.temperature", "asks for no answers"),
    ({"judge": "judge-1"}, "judge", "takes no judge"),
    ({"judge_prompt": "{prompt}"}, "judge_prompt", "leave it out"),
]


@pytest.mark.parametrize(("fields", "param", "says"), REFUSED, ids=[each[1] for each in REFUSED])
def test_what_makes_no_sense_is_refused_by_field(
    world: World, fields: dict[str, Any], param: str, says: str
) -> None:
    with pytest.raises(Exception, match=says) as refused:
        world.create(**fields)
    assert refused.value.param == param  # pyright: ignore[reportAttributeAccessIssue]


def test_a_file_without_pairs_and_a_reward_model_are_refused(world: World) -> None:
    with transaction() as session:
        prompts = evaluated.prompt_file(session, world.caller, evaluated.ifeval_rows(2)).id
        report = {"rows": 8, "accepted": 8, "shapes": {"messages": 8}}
        talks = records.file(session, world.caller, report=report).id
        judge = evaluated.reward_model(session, world.caller)
    for data, what in ((prompts, "prompts"), (talks, "conversations without a rejected answer")):
        with pytest.raises(Invalid, match=f"holds {what}, and the suite 'held_out'") as refused:
            world.create(data=data)
        assert refused.value.param == "data"
    for name in ("model", "baseline"):
        with pytest.raises(Invalid, match="reward model") as refused:
            world.create(**{name: judge})
        assert refused.value.param == name


def test_a_model_that_can_t_be_measured_ends_it_with_a_sentence(world: World) -> None:
    world.core.error = {"code": "bad_checkpoint", "message": "It is damaged.", "hint": "Another."}
    job, _ = world.run()
    assert job.error is not None
    assert (job.state, job.error["code"], job.error["param"]) == ("failed", "not_measured", "model")
    assert "under the model could not be computed: It is damaged." in job.error["message"]
    assert job.error["message"].endswith("It is damaged. Another.")
    world.core.error = None
    evaluation_id = world.create()
    with transaction() as session:
        session.execute(update(Checkpoint).values(deleted_at=func.clock_timestamp()))
    worker.evaluate()
    job, _ = world.look(evaluation_id)
    assert job.error is not None
    assert (job.error["param"], "No model has the id" in job.error["message"]) == ("model", True)


def test_no_pair_at_all_is_an_error(world: World, tmp_path: Path) -> None:
    rows = write_pairs(tmp_path / "few.jsonl", 3).read_text().splitlines(keepends=True)
    (tmp_path / "few.jsonl").write_text(rows[2])
    with transaction() as session:
        data = pair_file(session, world.caller, tmp_path / "few.jsonl")
    job, _ = world.run(data=data)
    assert job.error is not None
    assert job.error["message"].startswith("1 of 1 pairs can't be measured (1 prompt_too_long).")
    assert job.error["param"] == "data"


def test_a_file_that_is_deleted_takes_the_answers_of_its_pairs_along(world: World) -> None:
    _, evaluation = world.run(baseline=world.base)
    with transaction() as session:
        session.execute(update(evaluated.File).values(deleted_at=func.clock_timestamp()))
    assert removals.remove_file(world.data)
    with transaction() as session:
        first, *_ = evaluated.items(session, evaluation.id)
        assert (first.turns, first.reference) == ([], {})
        assert first.result is not None


def test_a_gate_holds_the_model_to_its_base(world: World) -> None:
    gate = {"metric": "accuracy", "at_least": "base - 0.02", "suite": "held_out"}
    gate = gated.gate(world.data, **gate)
    with transaction() as session:
        request = NewJob(model=world.base, training_file=world.data, method="orpo", gates=[gate])
        gates.check(session, world.caller, request)
        job = records.job(session, world.caller, JobState.QUEUED, base_model=world.base)
        job.gates = [gate]
        gated.hold(session, job)
        job.state = JobState.FINALIZING
        path = f"{job.id}/g1/c"
        session.add(
            Checkpoint(
                id=new_id("ftckpt"), job_id=job.id, generation=1, step=1, path=path, sha256="new",
                kind="adapter", size_bytes=1, metrics={}, model=f"ft:{job.id}:step-1",
            )
        )  # fmt: skip
        (get_settings().runs_dir / path).mkdir(parents=True)
        session.flush()
        gated.succeed(session, job)
    worker.evaluate()
    with transaction() as session:
        (decided,) = gated.promotion(session, session.get_one(Job, job.id))["gates"]
    assert decided["passed"] is False
    assert "The change over the base is -0.487" in decided["reason"]


def test_the_real_core_gives_the_numbers_of_the_runs_own_evaluation(
    product: None, session: Session, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_this_process(verb: str, run_dir: str, **_: Any) -> dict[str, Any]:
        assert verb == "likelihoods"
        return dict(measure_rows(read_spec(Path(run_dir)), Path(run_dir, LIKELIHOODS)))

    monkeypatch.setattr(likelihoods, "run_verb", in_this_process)
    base_path = write_base(tmp_path / "tiny")
    bench = Bench(tmp_path, base_path, write_pairs(tmp_path / "pairs.jsonl", 40))
    run = bench.run("run", checkpoint_every=3)
    spec = read_spec(run)
    saved = checkpoint_of(run, 6)
    base = records.base_model(session, caller, path=str(base_path), info=facts(base_path)).id
    values = {"path": "job/g1/checkpoints/step-000006", "sha256": read(saved).weights_sha256}
    place = get_settings().runs_dir / values["path"]
    place.parents[1].mkdir(parents=True)
    run.joinpath("checkpoints").rename(place.parent)
    name = tuned(session, caller, base, method=_hyperparameters(spec), step=6, **values)
    data = pair_file(session, caller, bench.train_path)
    asked = NewEvaluation(model=name, suite="held_out", data=data, baseline=base)
    evaluation_id = evaluations.create(session, caller, asked).id
    session.commit()
    worker.evaluate()
    with transaction() as found:
        job = found.get_one(Job, evaluation_id)
        assert (job.state, job.error) == (JobState.SUCCEEDED, None)
        items = {item.line: item.result for item in evaluated.items(found, evaluation_id)}
    assert len(items) == 40
    for step, side in ((6, None), (0, "baseline")):
        of_step = [each for each in journal(run, "pairs") if each["step"] == step]
        assert len(of_step) == 8
        for record in of_step:
            result = items[record["line"]]
            assert result is not None
            ours = result[side] if side else result
            for metric in ("log_odds_ratio", "logps_chosen", "logps_rejected"):
                assert ours[metric] == pytest.approx(record[metric], abs=1e-4), (step, metric)


def _hyperparameters(spec: Any) -> dict[str, Any]:
    """The settings of a run as a request has them."""
    return {
        name: value
        for name, value in spec.method.model_dump(mode="json", by_alias=True).items()
        if name != "type"
    }


def test_the_core_reads_the_model_and_the_pairs_and_writes_beside_them(tmp_path: Path) -> None:
    base, pairs, saved = tmp_path / "base", tmp_path / "in" / "pairs.jsonl", tmp_path / "step-1"
    spec = RunSpec(
        job_id="eval-1", base_model="base", base_model_path=base, train_path=pairs,
        method=parse_method("orpo", {}), resume_from=saved,
    )  # fmt: skip
    run_dir = write_spec(spec, tmp_path / "in" / "run").parent
    reach = of_verb([str(run_dir)])
    assert {base, saved, pairs} <= set(reach.reads)
    assert set(reach.writes) <= {run_dir, pairs.parent}
    assert "likelihoods" in LOADS_WEIGHTS, "it would have the memory of a verb without weights"
