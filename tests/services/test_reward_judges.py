"""Reward models as judges, asked by the real worker."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, update

from models.jobs import JobState, Purpose
from services.jobs import jobs
from services.platform.database import transaction
from tests.services import evaluated
from tests.services.judging import Scorer, World, failed, reward, scorer, world
from workers import evaluations as worker
from workers import rewarding

__all__ = ["reward", "scorer", "world"]


def test_a_reward_model_scores_each_answer_once(world: World, scorer: Scorer, reward: str) -> None:
    job, evaluation = world.run(world.create(4, judge=reward))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert (evaluation.details["preference"]["wins"], evaluation.counts["judged"]) == (4, 4)
    assert len(scorer.scored) == len(set(scorer.scored)) == 8
    _, by_reward = world.run(world.create(4, suite="reward", judge=reward))
    assert len(scorer.scored) == 8
    scores = {each["metric"]: each for each in by_reward.scores if not each["category"]}
    assert scores["reward"]["difference"]["value"] == 3
    assert by_reward.details["rewards"]["model"]
    assert world.judge.asked == []


def test_answers_that_a_reward_model_can_t_read_are_counted(
    world: World, scorer: Scorer, reward: str
) -> None:
    job, evaluation = world.run(world.create(6, judge=reward))
    assert job.state == JobState.SUCCEEDED
    assert (evaluation.counts["judged"], evaluation.counts["unparsed"]) == (5, 2)
    (warning,) = world.warnings(evaluation.id)
    assert "2 an answer that the reward model can't read" in warning


def test_a_reward_model_that_can_t_score_ends_it_with_a_sentence(
    world: World, scorer: Scorer, reward: str
) -> None:
    scorer.error = {"code": "bad_checkpoint", "message": "It is damaged.", "hint": "Train again."}
    job, _ = world.run(world.create(2, judge=reward))
    assert "could not score the answers: It is damaged. Train again." in failed(job)


def test_a_reward_model_that_was_deleted_ends_it_before_a_model_is_asked(
    world: World, scorer: Scorer, reward: str
) -> None:
    evaluation_id = world.create(2, judge=reward)
    with transaction() as session:
        session.execute(update(evaluated.Checkpoint).values(deleted_at=func.clock_timestamp()))
    job, _ = world.run(evaluation_id)
    assert "No model has the id" in failed(job)
    assert world.models.asked == []


def test_a_cancel_ends_the_process_that_scores(
    world: World, scorer: Scorer, reward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, ended = threading.Event(), threading.Event()

    def hang(*__: str, meanwhile: Callable[[], None], **_: Any) -> dict[str, Any]:
        began.set()
        try:
            for _turn in range(1000):
                time.sleep(0.01)
                meanwhile()
        except BaseException:
            ended.set()
            raise
        return {}

    monkeypatch.setattr(rewarding, "run_verb", hang)
    evaluation_id = world.create(2, judge=reward)
    working = threading.Thread(target=worker.evaluate)
    working.start()
    assert began.wait(10)
    with transaction() as session:
        jobs.cancel(session, world.caller, evaluation_id, Purpose.EVALUATION)
    working.join(10)
    assert not working.is_alive()
    assert ended.is_set()
    assert world.run(evaluation_id)[0].state == JobState.CANCELLED
