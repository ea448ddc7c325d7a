"""Judges of evaluations, asked by the real worker: servers count what they are asked."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from models import Comparison, Evaluation, Job, JobEvent, Judge, Judgment
from models.base import new_id
from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.evaluations import agreements, evaluations, judges
from services.evaluations.agreements import Labels
from services.evaluations.evaluations import NewEvaluation
from services.evaluations.judges import Kind, NewJudge
from services.jobs import claims, jobs
from services.platform.database import transaction
from services.processes.verbs import VerbError
from tests.evals.data import rows, shared
from tests.services import evaluated
from tests.services.evaluated import prompt_file
from tests.services.fake_openai import Body, FakeOpenAI, Reply, prompt_of
from workers import asking, rewarding
from workers import evaluations as worker
from workers.asking import Patience

QUICK = Patience(attempts=2, first_s=0.01, longest_s=0.02, retry_after_s=2, in_a_row=4)
KEY = "sk-judge-4e1b"
SHOWN = re.compile(r"# Answer A\n(.*)\n\n# Answer B\n(.*)\n")
Answers = Callable[[str, str], str]


def shown(body: Body) -> tuple[str, str]:
    """The answers that a judge sees, in their order."""
    found = SHOWN.search(prompt_of(body))
    assert found, prompt_of(body)
    return found[1], found[2]


def fair(first: str, second: str) -> str:
    """The verdict of a judge that prefers the tuned model for prompts below 3, else its base."""
    number = int(re.findall(r"\d+", first)[-1])
    better = "tuned" if number < 3 else "base"
    return "[[A]]" if better in first else "[[B]]"


@dataclass
class World:
    """A caller with two deployed models, and a judge at an endpoint."""

    caller: Caller
    models: FakeOpenAI
    judge: FakeOpenAI
    judge_id: str = ""
    files: dict[int, str] = field(default_factory=dict)

    def judging(self, verdict: Answers) -> None:
        """Have the judge answer so."""
        self.judge.reply = lambda _, body: Reply(verdict(*shown(body)))

    def add(self, **changes: Any) -> str:
        request = {"kind": Kind.OPENAI, "model": "j", "base_url": self.judge.url, "secret": "judge"}
        with transaction() as session:
            return judges.create(session, self.caller, NewJudge(**(request | changes))).id

    def create(self, rows: int = 4, **fields: Any) -> str:
        asked: dict[str, Any] = {"suite": "custom", "baseline": "base", "judge": self.judge_id}
        with transaction() as session:
            if rows not in self.files:
                prompts = [{"turns": [f"Prompt {number}"]} for number in range(rows)]
                self.files[rows] = prompt_file(session, self.caller, prompts).id
            asked |= {"model": "tuned", "data": self.files[rows], **fields}
            return evaluations.create(session, self.caller, NewEvaluation(**asked)).id

    def run(self, evaluation_id: str) -> tuple[Job, Evaluation]:
        """Work as the Celery task does, until nothing is left."""
        worker.evaluate()
        with transaction() as session:
            return session.get_one(Job, evaluation_id), session.get_one(Evaluation, evaluation_id)

    def warnings(self, evaluation_id: str) -> list[str]:
        of_it = (JobEvent.job_id == evaluation_id, JobEvent.level == "warn")
        with transaction() as session:
            return list(session.scalars(select(JobEvent.message).where(*of_it)))


@pytest.fixture
def world(
    product: None, session: Session, caller: Caller, tmp_path: Path, settings_from: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:  # fmt: skip
    monkeypatch.setattr(asking, "Patience", lambda: QUICK)
    socket = tmp_path / "engine.sock"
    for name in ("tuned", "base"):
        evaluated.deployed(session, caller, name, socket)
    session.commit()
    with ExitStack() as stack:
        models = stack.enter_context(FakeOpenAI().serving(socket))
        judge = stack.enter_context(FakeOpenAI().serving())
        secret = {"base_url": judge.url, "key": KEY, "orgs": [caller.org_id]}
        settings_from(
            evals_at_once=1, heartbeat_s=0.05, retry_delay_s=0, egress_allow="127.0.0.1",
            endpoint_secrets=json.dumps({"judge": secret}),
        )  # fmt: skip
        made = World(caller, models, judge)
        made.judging(fair)
        made.judge_id = made.add()
        yield made


def failed(job: Job) -> str:
    """The error of a job that has failed, with its advice."""
    assert job.state == JobState.FAILED
    assert job.error is not None
    return f"{job.error['message']} {job.error.get('hint') or ''}"


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


# --- suites with prompts of their own -------------------------------------------------------------


def alpaca(world: World, **fields: Any) -> str:
    prompts = [{"turns": [f"Prompt {n}"], "output": f"Reference {n}."} for n in range(4)]
    with transaction() as session:
        data = prompt_file(session, world.caller, prompts).id
    return world.create(suite="alpaca_eval", data=data, baseline=None, **fields)


def test_alpaca_eval_reads_the_logprobs_of_one_token(world: World) -> None:
    world.judge.reply = lambda *_: Reply("m", logprobs={"m": -0.1, "M": -3.0})
    job, evaluation = world.run(alpaca(world))
    assert job.state == JobState.SUCCEEDED
    assert evaluation.details["preference"]["first_wins"]["value"] == pytest.approx(0.948, abs=0.01)
    assert {(body["logprobs"], body["top_logprobs"]) for body in world.judge.asked} == {(True, 5)}


def test_a_judge_without_logprobs_ends_alpaca_eval_with_a_sentence(world: World) -> None:
    world.judge.reply = lambda *_: Reply("m")
    job, _ = world.run(alpaca(world))
    assert "use a judge that returns logprobs" in failed(job)


def test_alpaca_eval_1_reads_a_ranking(world: World) -> None:
    ranking = "[{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]"
    world.judge.reply = lambda *_: Reply(ranking)
    prompt = "{instruction} model_1: {output_1} model_2: {output_2}"
    job, evaluation = world.run(alpaca(world, judge_prompt=prompt, orders=1))
    assert job.state == JobState.SUCCEEDED
    assert evaluation.details["preference"]["losses"] == 4
    assert "logprobs" not in world.judge.asked[0]


def test_mt_bench_rates_each_turn(world: World) -> None:
    turns = [
        {"turns": [f"First {n}", f"Second {n}"], "category": "math", "reference": ["r1", "r2"]}
        for n in range(2)
    ]
    world.judge.reply = lambda _, body: Reply(
        "It is good. Rating: [[8]]" if "# Request 2" in prompt_of(body) else "Rating: [[6]]"
    )
    with transaction() as session:
        data = prompt_file(session, world.caller, turns).id
    job, evaluation = world.run(world.create(suite="mt_bench", data=data, baseline=None))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    scores = {each["metric"]: each["model"] for each in evaluation.scores if not each["category"]}
    assert [scores[name]["value"] for name in ("rating", "rating_turn_1", "rating_turn_2")] == [
        7, 6, 8,
    ]  # fmt: skip
    assert len(world.judge.asked) == 4
    assert "r2" in prompt_of(world.judge.asked[1])


# --- reward models --------------------------------------------------------------------------------


@dataclass
class Scorer:
    """Stands for `python -m orpo.score`: the reward is the length of the answer, -1 for `base`."""

    scored: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None

    def __call__(self, verb: str, folder: str, rows: str, out: str, **_: Any) -> dict[str, Any]:
        assert verb == "score"
        if self.error:
            raise VerbError(self.error)
        lines = []
        for line in map(json.loads, Path(rows).read_text().splitlines()):
            self.scored += line["answers"]
            rewards = [None if "Prompt 5" in a else -1.0 if "base" in a else 2.0
                       for a in line["answers"]]  # fmt: skip
            problems = [{"message": "Too long."} if r is None else None for r in rewards]
            lines.append(json.dumps({"rewards": rewards, "problems": problems}))
        Path(out).write_text("\n".join(lines) + "\n")
        return {}


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Scorer:
    scorer = Scorer()
    monkeypatch.setattr(rewarding, "run_verb", scorer)
    monkeypatch.setattr(rewarding, "time_for", lambda *_: 1.0)
    return scorer


@pytest.fixture
def reward(world: World) -> str:
    """A judge that is a trained reward model."""
    with transaction() as session:
        model = evaluated.reward_model(session, world.caller)
    return world.add(kind=Kind.REWARD, model=model, base_url=None, secret=None)


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


# --- agreement with people ------------------------------------------------------------------------


def measure(world: World, judge_id: str, labels: Labels, data: str | None = None) -> str:
    with transaction() as session:
        return agreements.create(session, world.caller, judge_id, labels, data).id


def agreement_of(judge_id: str) -> dict[str, Any]:
    with transaction() as session:
        return session.get_one(Judge, judge_id).agreement


LABELLED = [
    {"turns": [f"Add {n}"], "input": f"Add {n}", "output_1": f"right {n}", "output_2": f"wrong {n}",
     "label": 1}
    for n in range(30)
]  # fmt: skip


@pytest.mark.parametrize(("better", "average"), [("right", 1.0), ("wrong", 0.0)])
def test_agreement_with_labels_is_measured_and_stored(
    world: World, better: str, average: float
) -> None:
    world.judging(lambda first, _: "[[A]]" if better in first else "[[B]]")
    with transaction() as session:
        data = prompt_file(session, world.caller, LABELLED).id
    job, evaluation = world.run(measure(world, world.judge_id, Labels.LLMBAR, data))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    found = agreement_of(world.judge_id)["llmbar"]
    assert (found["average"]["value"], found["n"], found["unparsed"]) == (average, 30, 0)
    assert found["worse_than_a_coin"] is (better == "wrong")
    assert found["evaluation"] == evaluation.id
    assert {each["metric"] for each in evaluation.scores} == {"average", "both", "equal", "decided"}
    assert (len(world.judge.asked), world.models.asked) == (60, [])
    with transaction() as session:
        changes = {item.change for item in evaluated.items(session, evaluation.id)}
    assert changes == {average - 1}
    # Measured again, nothing is asked again.
    world.run(measure(world, world.judge_id, Labels.LLMBAR, data))
    assert len(world.judge.asked) == 60


@shared
def test_gpt4_on_llmbar_has_the_published_agreement(world: World, settings_from: Any) -> None:
    """GPT-4's published verdicts, given by a server, come out as LLMBar's published figures."""
    published = rows("llmbar/Natural/GPT-4_Vanilla.result.json")
    winners = {
        (row["input"], row["output_1"]): {
            order: said["winner"] for part in row["results"] for order, said in part.items()
        }
        for row in published
    }

    def gpt4(_: int, body: Body) -> Reply:
        prompt = prompt_of(body)
        for (asked, output), of_order in winners.items():
            if f"# Request\n{asked}\n" in prompt and f"\n{output}\n" in prompt:
                is_first = f"# Answer A\n{output}\n" in prompt
                won = of_order["swap = False" if is_first else "swap = True"] == "1"
                return Reply("[[A]]" if won == is_first else "[[B]]")
        return Reply("Unknown.")

    world.judge.reply = gpt4
    settings_from(evals_at_once=8)
    lines = [{"turns": [row["input"]], **row} for row in published]
    with transaction() as session:
        data = prompt_file(session, world.caller, lines).id
    world.run(measure(world, world.judge_id, Labels.LLMBAR, data))
    found = agreement_of(world.judge_id)["llmbar"]
    assert [found[name]["value"] for name in ("average", "both", "equal")] == [0.955, 0.93, 0.95]
    assert len(world.judge.asked) == 200


def test_agreement_with_votes_of_this_organisation(
    world: World, scorer: Scorer, reward: str
) -> None:
    asked = {"messages": [{"role": "user", "content": "Why?"}]}
    texts = [("tuned 1", "base 1", "a"), ("base 2", "tuned 2", "a"), ("tuned 3", "tuned 4", "tie")]
    with transaction() as session:
        other = evaluated.records.caller(session, "stranger")
        for first, second, choice in texts:
            for owner in (world.caller, other):
                said = [
                    {"side": n, "text": t, "asked": asked} for n, t in enumerate((first, second))
                ]
                session.add(
                    Comparison(id=new_id("cmp"), org_id=owner.org_id, sides=said, choice=choice)
                )
    job, evaluation = world.run(measure(world, reward, Labels.VOTES))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    found = agreement_of(reward)["votes"]
    assert found["average"]["value"] == pytest.approx(2 / 3)
    assert (found["decided"]["value"], found["n"]) == (0.5, 3)
    assert evaluation.counts["prompts"] == 3
    assert len(scorer.scored) == 6


def test_a_file_without_labels_ends_it_with_a_sentence(world: World) -> None:
    with transaction() as session:
        data = prompt_file(session, world.caller, [{"turns": ["Why?"]}]).id
    job, _ = world.run(measure(world, world.judge_id, Labels.PANDALM, data))
    assert "no labelled pair. Each row needs `instruction`" in failed(job)
    assert agreement_of(world.judge_id) == {}
