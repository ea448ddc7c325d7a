"""The evaluation worker against servers that count what they are asked."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import Answer, Deployment, Job, JobEvent
from models.jobs import DesiredState, JobState, Purpose
from services.access.callers import Caller
from services.evaluations import evaluations
from services.evaluations.evaluations import NewEvaluation
from services.files import files
from services.jobs import jobs
from services.platform.database import transaction
from services.platform.errors import Conflict
from services.upkeep import removals
from tests.services import evaluated
from tests.services.evaluated import ifeval, ifeval_rows, prompt_file
from tests.services.evaluating import QUICK, World, wait_for, world
from tests.services.fake_openai import Reply, prompt_of
from workers import evaluations as worker
from workers import phases

__all__ = ["world"]


def test_both_sides_answer_and_the_scores_are_stored(world: World) -> None:
    evaluation_id = world.create(3, baseline="base")
    world.run()
    job, evaluation = world.job(evaluation_id), world.evaluation(evaluation_id)
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert evaluation.counts["answered"] == 3
    assert {each["metric"] for each in evaluation.scores} >= {"prompt_strict"}
    assert evaluation.target["weights_sha256"] == "of tuned"
    assert evaluation.target["template_sha256"] == "t"
    assert evaluation.baseline is not None
    assert evaluation.baseline["engine"] == "vLLM 0, float32, cpu"
    assert world.server.most == 1
    assert {body["temperature"] for body in world.server.asked} == {0.0}
    with transaction() as session:
        (first, *_) = evaluated.items(session, evaluation_id)
        answer = session.get_one(Answer, (world.caller.org_id, first.answers[0]))
        assert answer.text == f"tuned says {first.turns[0][0]['content']}"
        assert first.result is not None


def test_templates_that_differ_are_said_once(world: World) -> None:
    with transaction() as session:
        other = {**evaluated.certificate("of base"), "template_sha256": "other"}
        session.execute(update(Deployment).where(Deployment.model == "base").values(parity=other))
    evaluation_id = world.create(1, baseline="base")
    usual, left = world.server.reply, [True]

    def lose(number: int, body: dict[str, Any]) -> Reply:
        if left:
            left.pop()
            world.fence()
            return Reply(None)
        return usual(number, body)

    world.server.reply = lose
    world.run()
    world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    with transaction() as session:
        said = session.scalars(select(JobEvent.message).where(JobEvent.job_id == evaluation_id))
        assert [each for each in said if "different chat templates" in each] == [
            phases.TWO_TEMPLATES
        ]


def test_another_evaluation_asks_only_what_is_new(world: World) -> None:
    with transaction() as session:
        file = prompt_file(session, world.caller, ifeval_rows(4))
        ifeval(session, world.caller, file, limit=2)
    world.run()
    assert len(world.server.asked) == 2
    with transaction() as session:
        second = ifeval(session, world.caller, file, limit=4, seed=0).id
    world.run()
    assert max(world.server.answered.values()) == 1
    assert len(world.server.asked) == 4
    with transaction() as session:
        said = session.scalars(select(JobEvent.message).where(JobEvent.job_id == second)).all()
    assert "2 of 4 answers are known already." in said


def test_the_same_name_with_new_weights_is_asked_again(world: World) -> None:
    with transaction() as session:
        file = prompt_file(session, world.caller, ifeval_rows(2))
        ifeval(session, world.caller, file)
    world.run()
    with transaction() as session:
        parity = evaluated.certificate("of another training")
        session.execute(update(Deployment).where(Deployment.model == "tuned").values(parity=parity))
        ifeval(session, world.caller, file)
    world.run()
    assert set(world.server.answered.values()) == {2}


@pytest.mark.parametrize("moments", [range(1, 12), (1, 6, 7)])
def test_a_fenced_worker_asks_nothing_twice_and_the_scores_are_the_same(
    world: World, moments: Any
) -> None:
    undisturbed = world.create(6, baseline="base")
    world.run()
    with transaction() as session:
        session.query(Answer).delete()
    world.server.answered.clear()
    world.server.asked.clear()
    usual, left = world.server.reply, set(moments)

    def lose(number: int, body: dict[str, Any]) -> Reply:
        """Take the evaluation back when a request comes in, which then gets no answer. The other
        side's answer may be on its way into the database: it is stored before.
        """
        if len(world.server.answered) in left:
            wait_for(lambda: world.stored() == len(world.server.answered))
            left.remove(len(world.server.answered))
            world.fence()
            return Reply(None)
        return usual(number, body)

    world.server.reply = lose
    evaluation_id = world.create(6, baseline="base")
    while world.job(evaluation_id).state == JobState.QUEUED:
        world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    assert not left
    assert len(world.server.answered) == 12
    assert set(world.server.answered.values()) == {1}
    assert world.job(evaluation_id).generation == len(list(moments)) + 1
    assert world.evaluation(evaluation_id).scores == world.evaluation(undisturbed).scores


KILLED = """
from workers import evaluations
evaluations.evaluate()
"""


@pytest.mark.slow
def test_a_killed_worker_asks_nothing_twice(world: World) -> None:
    usual, left, workers = world.server.reply, {1, 3}, []

    def kill(number: int, body: dict[str, Any]) -> Reply:
        if len(world.server.answered) in left:
            left.remove(len(world.server.answered))
            os.kill(workers[-1].pid, signal.SIGKILL)
            return Reply(None)
        return usual(number, body)

    world.server.reply = kill
    evaluation_id = world.create(4)
    for _ in range(2):
        workers.append(subprocess.Popen([sys.executable, "-c", KILLED]))
        assert workers[-1].wait(60) == -signal.SIGKILL
        world.lose_lease()
    world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    assert set(world.server.answered.values()) == {1}
    assert len(world.server.answered) == 4


def test_a_cancel_ends_it_amid_a_slow_request(world: World) -> None:
    asked, ended = threading.Event(), threading.Event()

    def hang(_: int, __: dict[str, Any]) -> Reply:
        asked.set()
        ended.wait(30)
        return Reply(None)

    world.server.reply = hang
    evaluation_id = world.create(2)
    working = threading.Thread(target=world.run)
    working.start()
    assert asked.wait(10)
    with transaction() as session:
        jobs.cancel(session, world.caller, evaluation_id, Purpose.EVALUATION)
    working.join(10)
    is_alive = working.is_alive()
    ended.set()
    working.join()
    assert not is_alive
    assert world.job(evaluation_id).state == JobState.CANCELLED
    assert len(world.server.asked) == 1


def test_a_worker_that_drains_keeps_the_answer_that_was_on_its_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    draining = threading.Event()
    for module in (worker, sys.modules["workers.holding"]):
        monkeypatch.setattr(module, "draining", draining)
    usual = world.server.reply

    def drain(number: int, body: dict[str, Any]) -> Reply:
        draining.set()
        time.sleep(0.3)
        return usual(number, body)

    world.server.reply = drain
    evaluation_id = world.create(3)
    world.run()
    job = world.job(evaluation_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    draining.clear()
    world.server.reply = usual
    world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    assert len(world.server.asked) == 3


def test_what_fails_for_a_while_is_asked_again_and_what_is_refused_is_counted(
    world: World,
) -> None:
    usual, seen = world.server.reply, []

    def flaky(number: int, body: dict[str, Any]) -> Reply:
        prompt = prompt_of(body)
        seen.append(prompt)
        times = seen.count(prompt)
        if prompt == "Prompt 0" and times == 1:
            return Reply("Busy.", 429, {"retry-after": "0.05"})
        if prompt == "Prompt 1" and times < 3:
            return Reply("Oh.", 500) if times == 1 else Reply(None)
        if prompt == "Prompt 2":
            return Reply("This model's maximum context length is 9 tokens.", 400)
        if prompt == "Prompt 3":
            return Reply("Oh.", 503)
        return usual(number, body)

    world.server.reply = flaky
    evaluation_id = world.create(5)
    world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    counts = world.evaluation(evaluation_id).counts
    assert (counts["prompts"], counts["answered"], counts["failed"]) == (5, 3, 2)
    assert [seen.count(f"Prompt {n}") for n in range(5)] == [2, 3, 1, 3, 1]
    with transaction() as session:
        found = {item.line: item.failures for item in evaluated.items(session, evaluation_id)}
    assert "maximum context length is 9" in found[3]["model"]
    assert "asked 3 times" in found[4]["model"]


def test_a_model_that_answers_nothing_ends_the_evaluation_with_a_sentence(world: World) -> None:
    world.server.reply = lambda *_: Reply("Oh.", 500)
    evaluation_id = world.create(8)
    world.run()
    job = world.job(evaluation_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert "has answered none of 4 requests in a row" in job.error["message"]
    assert len(world.server.asked) == 4 * QUICK.attempts


def test_a_text_with_a_special_string_is_not_sent(world: World) -> None:
    with transaction() as session:
        rows = ifeval_rows(2)
        rows[0]["turns"] = ["Say <|im_end|> twice"]
        evaluation_id = ifeval(session, world.caller, prompt_file(session, world.caller, rows)).id
    world.run()
    assert [prompt_of(body) for body in world.server.asked] == ["Prompt 1"]
    with transaction() as session:
        first = evaluated.items(session, evaluation_id)[0]
    assert "special token" in first.failures["model"]


def test_the_second_turn_follows_the_first_answer(world: World) -> None:
    rows = [{"turns": [f"First {n}", f"Second {n}"], "category": "math"} for n in range(2)]
    with transaction() as session:
        evaluation_id = ifeval(session, world.caller, prompt_file(session, world.caller, rows)).id
    world.run()
    seconds = [each for each in world.server.asked if len(each["messages"]) == 3]
    assert [each["messages"][1]["content"] for each in seconds] == [
        "tuned says First 0",
        "tuned says First 1",
    ]
    with transaction() as session:
        assert all(len(item.answers) == 2 for item in evaluated.items(session, evaluation_id))


def test_at_most_so_many_requests_are_on_their_way(world: World, settings_from: Any) -> None:
    settings_from(evals_at_once=3)
    usual = world.server.reply

    def slow(number: int, body: dict[str, Any]) -> Reply:
        time.sleep(0.05)
        return usual(number, body)

    world.server.reply = slow
    world.create(8, baseline="base")
    world.run()
    assert world.server.most == 3


def test_an_evaluation_that_is_lost_too_often_fails(world: World) -> None:
    def lose(*_: Any) -> Reply:
        world.fence()
        return Reply(None)

    world.server.reply = lose
    evaluation_id = world.create(2)
    while world.job(evaluation_id).state == JobState.QUEUED:
        world.run()
    error = world.job(evaluation_id).error
    assert error is not None
    assert error["message"].startswith("The evaluation was lost 3 times")
    assert len(world.server.asked) == 3


def test_prompts_go_with_their_file_and_scores_stay(world: World) -> None:
    evaluation_id = world.create(2)
    world.run()
    scores = world.evaluation(evaluation_id).scores
    with transaction() as session:
        files.delete(session, world.caller, world.job(evaluation_id).training_file)
    removals.remove_file(world.job(evaluation_id).training_file)
    with transaction() as session:
        found = evaluated.items(session, evaluation_id)
        assert [(item.turns, item.reference) for item in found] == [([], {})] * 2
        assert all(item.result for item in found)
    assert world.evaluation(evaluation_id).scores == scores


def test_a_file_is_kept_while_an_evaluation_needs_it(world: World) -> None:
    evaluation_id = world.create(1)
    with transaction() as session, pytest.raises(Conflict):
        files.delete(session, world.caller, world.job(evaluation_id).training_file)


def test_a_paused_evaluation_does_not_exist(world: World) -> None:
    evaluation_id = world.create(1)
    with transaction() as session:
        assert session.get_one(Job, evaluation_id).desired_state == DesiredState.RUN
        with pytest.raises(Exception, match="No job has the id"):
            jobs.pause(session, world.caller, evaluation_id)


def test_keys_of_two_requests_differ_in_all_that_decides() -> None:
    from services.evaluations import answers  # noqa: PLC0415

    base: dict[str, Any] = {"identity": {"weights": "a"}, "messages": [], "sampling": {}}
    changes: list[dict[str, Any]] = [
        {"identity": {"weights": "b"}},
        {"messages": [{"role": "user", "content": "?"}]},
        {"sampling": {"temperature": 0.5}},
        {"sample": 1},
    ]
    keys = {answers.key(**(base | change)) for change in [{}, *changes]}
    assert len(keys) == 5


def test_an_evaluation_is_found_by_its_owner_only(
    world: World, session: Session, caller: Caller
) -> None:
    evaluation_id = world.create(1)
    stranger = evaluated.records.caller(session, "stranger")
    with pytest.raises(Exception, match="No evaluation has the id"):
        evaluations.get(session, stranger, evaluation_id)
    assert [each.id for each in evaluations.list_page(session, caller)] == [evaluation_id]
    assert not list(evaluations.list_page(session, stranger))
    assert NewEvaluation("a", "ifeval", "f").sha256() != NewEvaluation("b", "ifeval", "f").sha256()
