"""The suite `diversity`, by the real worker and the real embedder, on a server that counts what it
is asked.
"""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session

from models import Answer
from models.jobs import JobState, Purpose
from orpo.contract.failures import Code
from services.access.callers import Caller
from services.evaluations import answers, evaluations, similarity
from services.evaluations.evaluations import NewEvaluation
from services.jobs import jobs
from services.platform.database import transaction
from services.platform.errors import Invalid
from services.processes.verbs import VerbError
from tests.services import evaluated
from tests.services.evaluated import prompt_file
from tests.services.evaluating import World, world
from tests.services.fake_openai import Reply, prompt_of
from workers import embedding

__all__ = ["world"]

SUBJECTS = ("cats", "the sea", "old trains", "bread", "stars")
WAYS = ("Once upon a time there were", "In 1984 I bought", "Nobody likes", "Please sell me",
        "Scientists have measured", "A song about")  # fmt: skip


def diversity(session: Session, owner: Caller, rows: list[dict[str, Any]], **fields: Any) -> str:
    file = prompt_file(session, owner, rows)
    asked: dict[str, Any] = {"model": "tuned", "suite": "diversity", "data": file.id}
    return evaluations.create(session, owner, NewEvaluation(**(asked | fields))).id


def about(count: int) -> list[dict[str, Any]]:
    return [{"turns": [f"Write about {SUBJECTS[number]}"]} for number in range(count)]


def create(world: World, count: int = 3, **fields: Any) -> str:
    with transaction() as session:
        return diversity(session, world.caller, about(count), samples=3, **fields)


def writing(world: World) -> None:
    """`tuned` always says the same of a subject; `base` finds a new way for each seed."""

    def write(_: int, body: dict[str, Any]) -> Reply:
        subject = prompt_of(body).removeprefix("Write about ")
        way = body["seed"] % len(WAYS) if body["model"] == "base" else 0
        return Reply(f"{WAYS[way]} {subject}.")

    world.server.reply = write


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands for the process that embeds: the vectors count letters. Returns what it was given."""
    given: list[list[str]] = []

    def run(hold: Any, texts: list[str]) -> embedding.Made:
        given.append(list(texts))
        counted = [[1.0, text.count("a"), text.count("e"), text.count("t")] for text in texts]
        values = np.array(counted, dtype=np.float32).reshape(len(texts), 4)
        facts = {"name": "letters", "weights_sha256": "of letters", "max_tokens": 9, "width": 4}
        return embedding.Made(facts, values, [len(text) > 40 for text in texts])

    monkeypatch.setattr(embedding, "run", run)
    return given


def by_metric(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {score["metric"]: score for score in found if score["category"] is None}


@pytest.mark.timeout(600)  # two processes import torch: minutes beside much other work
@pytest.mark.slow
def test_a_model_that_repeats_itself_is_less_diverse(world: World) -> None:
    writing(world)
    evaluation_id = create(world, 5, baseline="base", seed=7)
    world.run()
    job, evaluation = world.job(evaluation_id), world.evaluation(evaluation_id)
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    found = by_metric(evaluation.scores)
    assert list(found) == ["per_input", "across_input"]
    assert found["per_input"]["model"]["value"] == pytest.approx(1, abs=1e-6)
    assert found["per_input"]["difference"]["low"] > 0.1
    assert 0 < found["across_input"]["model"]["value"] < 0.9
    details = evaluation.details["diversity"]
    assert details["embedder"] == "all-MiniLM-L6-v2"
    assert details["embedder_sha256"].startswith("53aa51172d14")
    assert (details["embedded"], details["truncated"]) == (30, 0)
    with transaction() as session:
        items = evaluated.items(session, evaluation_id)
    for item in items:
        assert item.result is not None
        assert item.result["per_input"] == pytest.approx(1, abs=1e-6)
        assert item.change is not None
        assert item.change < -0.1, "it has become less diverse"


def test_each_sample_has_a_seed_of_its_own_and_is_asked_once(
    world: World, embedder: list[list[str]]
) -> None:
    writing(world)
    create(world, baseline="base", seed=7)
    world.run()
    assert len(world.server.asked) == 2 * 3 * 3
    seeds = {body["seed"] for body in world.server.asked}
    assert seeds == {answers.seed_of(7, sample) for sample in range(3)}
    assert {body["temperature"] for body in world.server.asked} == {1.0}
    create(world, baseline="base", seed=7)
    world.run()
    assert len(world.server.asked) == 18
    create(world, 3, seed=8)
    world.run()
    assert len(world.server.asked) == 27, "another seed has other samples"
    assert embedder[0] == [], "the embedder is tried before a model is asked"


def test_samples_are_kept_in_their_order(world: World, embedder: list[list[str]]) -> None:
    world.server.reply = lambda _, body: Reply(f"{prompt_of(body)} {body['seed']}")
    rows = [{"turns": ["First", "Second"]}]
    with transaction() as session:
        evaluation_id = diversity(session, world.caller, rows, samples=2)
    world.run()
    with transaction() as session:
        (item,) = evaluated.items(session, evaluation_id)
        keys = [(world.caller.org_id, key) for key in item.answers]
        texts = [session.get_one(Answer, key).text for key in keys]
        seed = answers.seed_of(0, 1)
        assert texts == ["First 0", "Second 0", f"First {seed}", f"Second {seed}"]
        evaluation = world.evaluation(evaluation_id)
        found = similarity.samples(session, evaluation)
        assert found == {"model": {0: [item.answers[1], item.answers[3]]}}
    histories = [body["messages"] for body in world.server.asked if len(body["messages"]) == 3]
    assert [messages[1]["content"] for messages in histories] == ["First 0", f"First {seed}"]
    assert embedder[-1] == ["Second 0", f"Second {seed}"]


# With a process in place of the embedder that takes no seconds to start.
KILLED = """
from tests.services.test_diversity import Process
from workers import embedding, evaluations
embedding.run_verb = Process()
evaluations.evaluate()
"""


@pytest.mark.slow
def test_a_killed_worker_asks_nothing_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "run_verb", Process())
    left, workers, answered = {2, 5}, [], []

    def kill(_: int, body: dict[str, Any]) -> Reply:
        if len(answered) in left:
            left.remove(len(answered))
            os.kill(workers[-1].pid, signal.SIGKILL)
            return Reply(None)
        answered.append((prompt_of(body), body["seed"]))
        return Reply(f"{WAYS[body['seed'] % len(WAYS)]} it.")

    world.server.reply = kill
    evaluation_id = create(world, 3)
    for _ in range(2):
        workers.append(subprocess.Popen([sys.executable, "-c", KILLED]))
        assert workers[-1].wait(60) == -signal.SIGKILL
        world.lose_lease()
    world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    assert len(answered) == len(set(answered)) == 9
    world.server.reply = lambda *_: Reply("It is asked again.", 500)
    before = world.evaluation(evaluation_id).scores
    again = create(world, 3)
    world.run()
    assert world.evaluation(again).scores == before


def test_a_worker_that_is_lost_while_it_embeds_asks_nothing_twice(
    world: World, embedder: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    writing(world)
    usual, left = embedding.run, [True]

    def lose(hold: Any, texts: list[str]) -> embedding.Made:
        if texts and left:
            left.pop()
            world.fence()
            hold.check()
        return usual(hold, texts)

    monkeypatch.setattr(embedding, "run", lose)
    evaluation_id = create(world)
    while world.job(evaluation_id).state == JobState.QUEUED:
        world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    assert world.job(evaluation_id).generation == 2
    assert len(world.server.asked) == 9


def test_the_same_words_are_embedded_once_and_long_answers_are_counted(
    world: World, embedder: list[list[str]]
) -> None:
    world.server.reply = lambda _, body: Reply(
        f"<think>Hm {body['seed']}.</think>{'So it goes. ' * 5}{prompt_of(body)}"
    )
    evaluation_id = create(world)
    world.run()
    texts = [text for given in embedder for text in given]
    assert len(texts) == len(set(texts)) == 3
    assert all(text.startswith("So it goes.") for text in texts)
    details = world.evaluation(evaluation_id).details["diversity"]
    assert (details["embedder"], details["embedded"], details["truncated"]) == ("letters", 9, 9)


def test_prompts_with_missing_samples_are_counted_and_in_no_score(
    world: World, embedder: list[list[str]]
) -> None:
    writing(world)
    usual, seen = world.server.reply, []

    def refuse(number: int, body: dict[str, Any]) -> Reply:
        seen.append(prompt_of(body))
        if prompt_of(body).endswith("cats") and seen.count(prompt_of(body)) > 1:
            return Reply("No more of these.", 400)
        return usual(number, body)

    world.server.reply = refuse
    evaluation_id = create(world, 4)
    world.run()
    evaluation = world.evaluation(evaluation_id)
    counts = evaluation.counts
    assert (counts["prompts"], counts["answered"], counts["failed"]) == (4, 3, 1)
    assert {score["model"]["n"] for score in evaluation.scores} == {3}
    with transaction() as session:
        (cats,) = [i for i in evaluated.items(session, evaluation_id) if i.failures]
    assert (len(cats.answers), cats.result, cats.change) == (1, None, None)
    assert "No more of these" in cats.failures["model"]


def test_a_missing_embedder_ends_it_before_a_model_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> dict[str, Any]:
        message = "The embedder all-MiniLM-L6-v2 is not installed."
        raise VerbError({"code": Code.BAD_SPEC, "message": message, "hint": "Install it."})

    monkeypatch.setattr(embedding, "run_verb", missing)
    evaluation_id = create(world)
    world.run()
    job = world.job(evaluation_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert "could not be embedded: The embedder" in job.error["message"]
    assert job.error["message"].endswith("Install it.")
    assert (job.error["param"], job.error["code"]) == ("suite", "not_embedded")
    assert world.server.asked == []


@dataclass
class Process:
    """Stands for `python -m orpo.embed`: `hangs` until it is ended, or leaves out its last rows."""

    hangs: bool = False
    left_out: int = 0
    began: threading.Event = field(default_factory=threading.Event)

    def __call__(self, verb: str, rows: str, out: str, *, meanwhile: Any, **_: Any) -> Any:
        assert verb == "embed"
        texts = Path(rows).read_text().splitlines()
        while texts and self.hangs:
            self.began.set()
            meanwhile()
        lines = ['{"vector": [0.6, 0.8], "truncated": false}\n'] * len(texts)
        Path(out).write_text("".join(lines[: len(texts) - self.left_out]))
        facts = {"name": "flat", "weights_sha256": "of flat", "max_tokens": 9, "width": 2}
        return {"rows": len(texts), "embedder": facts}


def test_a_cancel_ends_the_process_that_embeds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(hangs=True)
    monkeypatch.setattr(embedding, "run_verb", process)
    evaluation_id = create(world, 1)
    working = threading.Thread(target=world.run)
    working.start()
    assert process.began.wait(20)
    assert world.job(evaluation_id).state == JobState.RUNNING
    with transaction() as session:
        jobs.cancel(session, world.caller, evaluation_id, Purpose.EVALUATION)
    working.join(20)
    assert not working.is_alive()
    assert world.job(evaluation_id).state == JobState.CANCELLED


def test_rows_that_the_embedder_leaves_out_are_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing(world)
    process = Process(left_out=1)
    monkeypatch.setattr(embedding, "run_verb", process)
    evaluation_id = create(world, 2)
    world.run()
    error = world.job(evaluation_id).error
    assert error is not None
    assert "orpo.embed left out rows" in error["message"]
    assert len(world.server.asked) == 6, "the answers are kept"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"samples": 1}, "samples"),
    ({"samples": 21}, "samples"),
    ({"sampling": {"temperature": 0}}, "sampling.temperature"),
    ({"judge": "judge-1"}, "judge"),
    ({"suite": "ifeval"}, "samples"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_makes_no_sense_is_refused_by_field(
    world: World, fields: dict[str, Any], param: str
) -> None:
    with transaction() as session, pytest.raises(Invalid) as refused:
        diversity(session, world.caller, about(2), **({"samples": 3} | fields))
    assert refused.value.param == param


def test_the_seeds_of_samples_differ_between_neighbouring_evaluations() -> None:
    seeds = [answers.seed_of(seed, sample) for seed in range(50) for sample in range(20)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert answers.seed_of(7, 0) == 7


def test_other_requests_hash_as_an_earlier_release_hashes_them() -> None:
    plain = NewEvaluation("m", "ifeval", "f")
    assert plain.sha256() == "0103ab98b6555335f28b04154ff439a987b51623ecb2cc121dd73a957bf1632b"
    assert NewEvaluation("m", "diversity", "f", samples=3).sha256() != plain.sha256()
