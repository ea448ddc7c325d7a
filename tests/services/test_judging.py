"""Judges of evaluations, asked by the real worker: servers count what they are asked."""

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, text, update

from models import Job, Judgment
from models.jobs import JobState, Purpose
from services.evaluations.judges import Kind
from services.jobs import claims, jobs
from services.platform.database import transaction
from tests.services import evaluated
from tests.services.fake_openai import Body, Reply, prompt_of
from tests.services.judging import KEY, QUICK, World, failed, fair, shown, world
from workers import asking
from workers import evaluations as worker

__all__ = ["world"]


def test_a_judge_sees_both_orders_and_the_win_rate_is_of_both(world: World) -> None:
    job, evaluation = world.run(world.create(4))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    found = evaluation.details["preference"]
    assert (found["wins"], found["losses"], found["flip_rate"]["value"]) == (3, 1, 0)
    assert (evaluation.counts["judged"], evaluation.counts["unparsed"]) == (4, 0)
    assert Counter(map(shown, world.judge.asked)) == {
        pair: 1
        for n in range(4)
        for pair in (
            (f"tuned says Prompt {n}", f"base says Prompt {n}"),
            (f"base says Prompt {n}", f"tuned says Prompt {n}"),
        )
    }
    assert {each["Authorization"] for each in world.judge.headers} == {f"Bearer {KEY}"}
    assert {body["model"] for body in world.judge.asked} == {"j"}
    assert {body["temperature"] for body in world.judge.asked} == {0.0}
    assert world.warnings(evaluation.id) == []


def test_without_a_judge_the_answers_wait_for_people(world: World) -> None:
    job, evaluation = world.run(world.create(4, judge=None))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert (evaluation.scores, world.judge.asked) == ([], [])
    assert evaluation.counts | {"answered": 4, "judged": 0, "failed": 0} == evaluation.counts
    assert "preference" not in evaluation.details


def test_a_judge_that_always_names_the_first_answer_is_a_coin(world: World) -> None:
    world.judging(lambda *_: "[[A]]")
    _, evaluation = world.run(world.create(4))
    found = evaluation.details["preference"]
    assert (found["win_rate"]["value"], found["flip_rate"]["value"]) == (0.5, 1)
    assert found["first_wins"]["value"] == 1


def test_nothing_is_asked_twice_by_another_evaluation_or_under_another_name(world: World) -> None:
    world.run(world.create(4))
    assert len(world.judge.asked) == 8
    _, again = world.run(world.create(4, judge=world.add(name="The same judge")))
    assert len(world.judge.asked) == 8
    assert again.details["preference"]["wins"] == 3
    # What can change a reply is asked again: sampling, prompt, model.
    world.run(world.create(4, judge=world.add(sampling={"temperature": 0.5})))
    world.run(world.create(4, judge=world.add(model="other")))
    prompt = "Again. {prompt}\n# Answer A\n{first}\n\n# Answer B\n{second}\n"
    world.run(world.create(4, judge_prompt=prompt, orders=1))
    assert len(world.judge.asked) == 8 + 8 + 8 + 4
    assert prompt_of(world.judge.asked[-1]).startswith("Again. Prompt")


def test_a_fenced_worker_asks_nothing_twice_and_the_scores_are_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It notices that it is fenced before it asks again.
    monkeypatch.setattr(asking, "Patience", lambda: replace(QUICK, first_s=9, longest_s=9))
    undisturbed = world.create(4)
    _, first = world.run(undisturbed)
    with transaction() as session:
        session.query(Judgment).delete()
    world.judge.answered.clear()
    usual, left = world.judge.reply, set(range(1, 7))

    def lose(number: int, body: Body) -> Reply:
        """Take the evaluation back when a request comes in, which then gets no answer."""
        if len(world.judge.answered) in left:
            left.remove(len(world.judge.answered))
            with transaction() as session:
                gone = func.clock_timestamp() - timedelta(seconds=1)
                held = Job.state.in_(("claimed", "running"))
                session.execute(update(Job).where(held).values(lease_until=gone, attempts=0))
                claims.reap(session)
            return Reply(None)
        return usual(number, body)

    world.judge.reply = lose
    evaluation_id = world.create(4)
    job, evaluation = world.run(evaluation_id)
    while job.state == JobState.QUEUED:
        job, evaluation = world.run(evaluation_id)
    assert (job.state, left) == (JobState.SUCCEEDED, set())
    assert set(world.judge.answered.values()) == {1}
    assert len(world.judge.answered) == 8
    assert evaluation.scores == first.scores


def test_some_prose_is_counted_and_said(world: World) -> None:
    def moody(_: int, body: Body) -> Reply:
        first, second = shown(body)
        if "Prompt 0" in first:
            return Reply("Both are nice.")
        if "Prompt 1" in first and "tuned" in first:
            return Reply("I think that", finish_reason="length")
        return Reply(fair(first, second))

    world.judge.reply = moody
    job, evaluation = world.run(world.create(6))
    assert job.state == JobState.SUCCEEDED
    assert (evaluation.counts["judged"], evaluation.counts["unparsed"]) == (4, 3)
    (warning,) = world.warnings(evaluation.id)
    assert warning == (
        "4 of 6 items have a verdict. Replies without a verdict: 2 text without a verdict, 1 cut "
        "off at max_tokens before a verdict."
    )
    assert len(world.judge.asked) == 12


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply("Both are nice."), "use a stronger judge"),
        (Reply("<think>[[A]] or [[B]]?</think> Hm."), "use a stronger judge"),
        (
            Reply("I can't help with that.", finish_reason="content_filter"),
            "declines these prompts",
        ),
        (Reply("Let me think", finish_reason="length"), "higher `sampling.max_tokens`"),
    ],
)
def test_a_judge_without_verdicts_is_not_asked_further(
    world: World, reply: Reply, sentence: str
) -> None:
    world.judge.reply = lambda *_: reply
    job, evaluation = world.run(world.create(16))
    assert f"0 of 16 items have a verdict, too few for a score. {'Replies'}" in failed(job)
    assert sentence in failed(job)
    assert job.error is not None
    assert (job.error["code"], job.error["param"]) == ("not_judged", "judge")
    assert len(world.judge.asked) == 20
    # Another evaluation asks only what was not asked before.
    world.judging(fair)
    world.run(world.create(16))
    assert len(world.judge.asked) == 32
    assert evaluation.scores == []


def test_a_judge_that_is_down_ends_it_with_a_sentence(world: World) -> None:
    world.judge.reply = lambda *_: Reply(None)
    job, _ = world.run(world.create(8))
    assert "Check that the judge answers" in failed(job)
    assert len(world.judge.asked) == QUICK.in_a_row * QUICK.attempts
    # It is up again: the answers of the models are there.
    n_answers = len(world.models.asked)
    world.judging(fair)
    job, _ = world.run(world.create(8))
    assert job.state == JobState.SUCCEEDED
    assert len(world.models.asked) == n_answers


def test_a_busy_judge_is_asked_when_it_says_and_what_it_refuses_is_counted(world: World) -> None:
    usual, seen = world.judge.reply, Counter[str]()

    def busy(number: int, body: Body) -> Reply:
        prompt = prompt_of(body)
        seen[prompt] += 1
        if "Prompt 0" in prompt and seen[prompt] == 1:
            return Reply("Later.", 429, {"retry-after": "0.05"})
        if "Prompt 1" in prompt:
            return Reply("The prompt has 9000 tokens.", 400)
        return usual(number, body)

    world.judge.reply = busy
    job, evaluation = world.run(world.create(4))
    assert job.state == JobState.SUCCEEDED
    assert (evaluation.counts["judged"], evaluation.counts["failed"]) == (3, 2)
    (warning,) = world.warnings(evaluation.id)
    assert "1 items got no reply" in warning
    assert "The prompt has 9000 tokens." in warning
    with transaction() as session:
        failures = [item.failures for item in evaluated.items(session, evaluation.id)]
    assert [sorted(each) for each in failures] == [[], ["judge"], [], []]


def test_a_key_that_a_judge_quotes_is_stored_nowhere(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    said = f"Incorrect key: {KEY}. [[A]]"
    for status in (401, 400, 500, 200):
        world.judge.reply = lambda *_, status=status: Reply(said, status)
        world.run(world.create(4))
    with transaction() as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        stored = [session.scalars(text(f"SELECT t::text FROM {name} t")).all() for name in tables]
    assert "Incorrect key: [key]" in repr(stored)
    assert KEY not in repr(stored) + caplog.text


def test_a_cancel_ends_it_amid_a_slow_judgment(world: World) -> None:
    asked, ended = threading.Event(), threading.Event()

    def hang(*_: Any) -> Reply:
        asked.set()
        ended.wait(30)
        return Reply(None)

    world.judge.reply = hang
    evaluation_id = world.create(2)
    working = threading.Thread(target=worker.evaluate)
    working.start()
    assert asked.wait(10)
    with transaction() as session:
        jobs.cancel(session, world.caller, evaluation_id, Purpose.EVALUATION)
    working.join(10)
    is_alive = working.is_alive()
    ended.set()
    working.join()
    assert not is_alive
    assert world.run(evaluation_id)[0].state == JobState.CANCELLED
    assert len(world.judge.asked) == 1


def test_a_judge_that_judges_its_own_answers_is_marked(world: World) -> None:
    usual = world.models.reply

    def judge_too(number: int, body: Body) -> Reply:
        prompt = prompt_of(body)
        return Reply(fair(*shown(body))) if "# Answer A" in prompt else usual(number, body)

    world.models.reply = judge_too
    own = world.add(kind=Kind.DEPLOYMENT, model="base", base_url=None, secret=None)
    job, evaluation = world.run(world.create(4, judge=own))
    assert job.state == JobState.SUCCEEDED
    assert evaluation.details["judges_itself"] == "baseline"
    (warning,) = world.warnings(evaluation.id)
    assert warning.startswith("The judge is the baseline itself.")
    # New weights under the same name are another judge.
    n_asked = len(world.models.asked)
    with transaction() as session:
        parity = evaluated.certificate("of another training")
        session.execute(
            update(evaluated.Deployment)
            .where(evaluated.Deployment.model == "base")
            .values(parity=parity)
        )
    world.run(world.create(4, judge=own))
    assert len(world.models.asked) == n_asked + 4 + 8


def test_a_judge_that_is_not_deployed_ends_it_before_a_model_is_asked(world: World) -> None:
    with transaction() as session:
        evaluated.records.base_model(session, world.caller, id="idle")
    idle = world.add(kind=Kind.DEPLOYMENT, model="idle", base_url=None, secret=None)
    job, _ = world.run(world.create(2, judge=idle))
    assert "'idle' is not deployed" in failed(job)
    assert world.models.asked == []


def test_a_secret_that_is_gone_ends_it_before_anything_is_asked(
    world: World, settings_from: Any
) -> None:
    evaluation_id = world.create(2)
    settings_from(endpoint_secrets="{}")
    job, _ = world.run(evaluation_id)
    assert "no secret 'judge'" in failed(job)
    assert world.models.asked == world.judge.asked == []
