"""The pages of evaluations: started in the form, followed live, and read in both themes.

The API, its database and the browser are real. The test does what the worker would, so that no
model is needed.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from cli.stack.scratch import ScratchApi, scratch_api
from models import Answer, Evaluation, EvaluationItem, Judge, Judgment
from models.base import new_id
from models.jobs import EVALUATED, JobState, Purpose
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform.database import transaction
from tests import records
from tests.api.fake_engine import deploy
from tests.conftest import forget_connections
from tests.e2e import chromium
from tests.e2e.test_page import violations

pytestmark = [pytest.mark.stack, pytest.mark.slow]

OWNER = Caller(seed.ORG_ID, None, records.SCOPES)
TUNED, BASE = "acme/tuned", "acme/base"
ITEMS = 120
REPORT = {
    "rows": ITEMS, "accepted": ITEMS, "dropped": {},
    "prompts": {"suites": ["ifeval", "custom"], "unfit": {}, "repeated": 0, "empty": 0},
}  # fmt: skip
HOSTILE = "<img src=x onerror='window.pwned = 1'><script>window.pwned = 2</script> \u202e"
KINDS = ["length_constraints:number_words", "punctuation:no_comma"]


@pytest.fixture
def api(tmp_path: Path, settings_from: Callable[..., None]) -> Iterator[ScratchApi]:
    with scratch_api(tmp_path) as api:
        settings_from(database_url=api.database_url, var=tmp_path, storage_url="", redis_url="")
        forget_connections()
        deploy(seed.ORG_ID, 9, "tuned", "base")
        with transaction() as session:
            records.file(
                session, OWNER, id="file-prompts", filename="prompts.jsonl", purpose="evals",
                report=REPORT,
            )  # fmt: skip
            records.file(session, OWNER, id="file-pairs")
        yield api
        forget_connections()


@pytest.fixture
def page(browser: Browser, api: ScratchApi) -> Iterator[Page]:
    with chromium.signed_in(browser, api.url, api.key) as page:
        yield page


def measured(value: float, width: float = 0.03, n: int = ITEMS) -> dict[str, Any]:
    return {"value": value, "low": value - width, "high": value + width, "n": n}


def score(
    metric: str, model: float, baseline: float | None = None, category: str | None = None
) -> dict[str, Any]:
    """A score as the worker stores it."""
    theirs = None if baseline is None else measured(baseline)
    difference = None if baseline is None else measured(model - baseline)
    return {
        "metric": metric, "category": category, "model": measured(model), "baseline": theirs,
        "difference": difference,
    }  # fmt: skip


def add_answer(text: str, finish_reason: str = "stop") -> Answer:
    return Answer(
        org_id=seed.ORG_ID, key=new_id("answer"), text=text, thought=None,
        finish_reason=finish_reason, completion_tokens=12,
    )  # fmt: skip


def work_on(evaluation_id: str) -> int:
    """Claim the evaluation as a worker would; return its generation."""
    with transaction() as session:
        job = claims.claim_next(session, "w", EVALUATED)
        assert job is not None
        assert job.id == evaluation_id
        session.flush()
        claims.start(session, job.id, job.generation)
        return job.generation


def answers_so_far(evaluation_id: str, generation: int, done: int) -> None:
    progress = {"phase": "answers", "done": done, "total": 2 * ITEMS, "eta_s": 90}
    with transaction() as session:
        claims.heartbeat(session, evaluation_id, generation, progress)


def score_ifeval(evaluation_id: str, generation: int) -> None:
    """End the evaluation with items, of which the first third got worse."""
    with transaction() as session:
        for place in range(ITEMS):
            ours = add_answer(f"It is warm, number {place}. {HOSTILE}", "length")
            theirs = add_answer(f"It is cold, number {place}. {HOSTILE}")
            session.add_all([ours, theirs])
            session.flush()
            change = (place // (ITEMS // 3) - 1) / 2
            strict = [change >= 0, True]
            session.add(
                EvaluationItem(
                    evaluation_id=evaluation_id, place=place, line=place + 1,
                    category="weather" if place % 2 else "time",
                    turns=[[{"role": "user", "content": f"Question {place}? {HOSTILE}"}]],
                    reference={"instruction_id_list": KINDS, "kwargs": [{"num_words": 3}, {}]},
                    answers=[ours.key], baseline_answers=[theirs.key], judgments=[],
                    result={
                        "strict": strict, "loose": [True, True],
                        "baseline": {"strict": [True, True], "loose": [True, True]},
                    },
                    change=change, cut_off=place == 0,
                )
            )  # fmt: skip
        evaluation = session.get_one(Evaluation, evaluation_id)
        evaluation.counts = {
            "of": 541, "prompts": ITEMS, "asked": 2 * ITEMS, "answered": ITEMS, "judged": 0,
            "cut_off": 1, "unparsed": 0, "failed": 0,
        }  # fmt: skip
        evaluation.scores = [
            score("prompt_strict", 0.42, 0.36),
            score("instruction_strict", 0.5, 0.49),
            score("prompt_strict", 0.3, 0.5, "weather"),
            score("prompt_strict", 0.6, 0.4, "time"),
        ]
        assert claims.finalize(session, evaluation_id, generation)
        claims.succeed_with_scores(session, evaluation_id, generation)


def add_judged() -> str:
    """An evaluation of the suite `custom` that has succeeded, with a judge below a coin."""
    agreement = {
        "average": measured(0.35, n=60), "both": measured(0.3, n=60), "equal": measured(0.8, n=60),
        "decided": measured(0.35, n=60), "unparsed": 2, "n": 60, "worse_than_a_coin": True,
    }  # fmt: skip
    with transaction() as session:
        judge = Judge(
            id=new_id("judge"), org_id=seed.ORG_ID, name="strict judge", kind="openai",
            model="judge-1", base_url="https://judge.example/v1", secret=None, sampling={},
            agreement={"votes": agreement},
        )  # fmt: skip
        session.add(judge)
        session.flush()
        job = records.job(
            session, OWNER, JobState.QUEUED, id=new_id("eval"), purpose=Purpose.EVALUATION,
            base_model=BASE, training_file="file-prompts", method={"type": "evaluation"},
        )  # fmt: skip
        replies = [
            Judgment(
                org_id=seed.ORG_ID, key=new_id("judgment"), text=f"{HOSTILE} [[{said}]]",
                value=value, finish_reason="stop",
            )
            for said, value in (("A", 1.0), ("tie", 0.5))
        ]  # fmt: skip
        texts = [add_answer("Yes."), add_answer("No.")]
        session.add_all([*replies, *texts])
        rewards = {"edges": [-1.0, 0.0, 1.0], "model": [1, 3], "baseline": [3, 1]}
        session.add(
            Evaluation(
                id=job.id, suite="custom", data_sha256="0", target={"model": TUNED},
                baseline={"model": BASE}, judge_id=judge.id, orders=2, limit=None, sampling={},
                options={}, counts={"of": 1, "prompts": 1, "answered": 1},
                scores=[score("win_rate", 0.6, 0.4)],
                details={
                    "preference": {
                        "win_rate": measured(0.6), "flip_rate": measured(0.2),
                        "first_wins": measured(0.7), "wins": 3, "draws": 1, "losses": 1,
                        "unparsed": 1, "length_controlled": None,
                    },
                    "rewards": rewards,
                },
            )
        )  # fmt: skip
        session.flush()
        session.add(
            EvaluationItem(
                evaluation_id=job.id, place=0, line=1, category=None,
                turns=[[{"role": "user", "content": "Is it?"}]], reference={},
                answers=[texts[0].key], baseline_answers=[texts[1].key],
                judgments=[each.key for each in replies], result={"win_rate": 0.75}, change=0.5,
            )
        )  # fmt: skip
        job_id = job.id
    generation = work_on(job_id)
    with transaction() as session:
        assert claims.finalize(session, job_id, generation)
        claims.succeed_with_scores(session, job_id, generation)
    return job_id


def test_an_evaluation_from_the_form_to_its_worst_answer(page: Page, api: ScratchApi):
    page.goto("/evaluations")
    page.get_by_role("main").get_by_role("link", name="New evaluation").first.click()
    page.get_by_label("Model", exact=True).select_option(TUNED)
    page.get_by_label("Suite").select_option("ifeval")
    page.get_by_role("button", name="Start the evaluation").click()
    # The API's error stands at its field, and the field has the focus.
    expect(page.locator("[data-field=data] [role=alert]")).to_be_visible()
    expect(page.get_by_label("Prompts", exact=True)).to_be_focused()
    assert violations(page) == []
    page.get_by_label("Prompts", exact=True).select_option("file-prompts")
    page.get_by_label("A model of this installation").check()
    page.get_by_label("Baseline model").select_option(BASE)
    page.get_by_role("button", name="Start the evaluation").click()
    expect(page).to_have_url(re.compile("/evaluations/eval-"))
    expect(page.get_by_text("Waiting for a free worker")).to_be_visible()

    evaluation_id = page.url.rpartition("/")[2]
    generation = work_on(evaluation_id)
    answers_so_far(evaluation_id, generation, 60)
    expect(page.get_by_text("Answers: 60 of 240, 1:30 min left")).to_be_visible()
    assert violations(page) == []
    score_ifeval(evaluation_id, generation)
    verdict = page.get_by_role("region", name="Verdict")
    expect(verdict).to_contain_text("Yes, more than chance")
    expect(verdict).to_contain_text("+6.0 points (+3.0 to +9.0)")
    expect(verdict).to_contain_text(f"On {ITEMS // 3} of {ITEMS} prompts")
    expect(verdict).to_contain_text("More than chance in Weather.")
    expect(page.get_by_text(f"A subset: {ITEMS} of 541 prompts")).to_be_visible()
    expect(page.get_by_text("1 answer was cut off")).to_be_visible()

    verdict.get_by_role("link", name="Look at the answers").click()
    items = page.get_by_role("table", name="Items")
    expect(items).to_have_attribute("aria-rowcount", str(ITEMS // 3 + 1))
    page.keyboard.press("j")
    ours = page.get_by_role("article", name=f"Answer of {TUNED}")
    expect(ours).to_contain_text("It is warm, number 0.")
    expect(ours).to_contain_text("cut off after 12 tokens")
    page.keyboard.press("j")
    expect(ours).to_contain_text("number 1.")
    page.keyboard.press("d")
    expect(ours.locator("ins")).to_have_text("warm")
    checked = page.get_by_role("table", name="Checked instructions")
    expect(checked).to_contain_text("✗ not followed, but loosely")
    page.reload()
    expect(ours).to_contain_text("number 1.")
    assert page.evaluate("window.pwned") is None
    assert page.get_by_role("main").locator("img, script").count() == 0
    assert "\u202e" not in page.get_by_role("main").inner_text()

    page.get_by_role("link", name="Ask both again and vote").click()
    expect(page.get_by_label("Message to both models")).to_have_value(re.compile("^Question 1"))
    page.go_back()
    page.get_by_label("Category").select_option("time")
    expect(items).to_have_attribute("aria-rowcount", str(ITEMS // 6 + 1))
    expect(page).to_have_url(re.compile("filter=regressed&category=time"))

    judged_id = add_judged()
    look_at_all(page, [evaluation_id, judged_id])
    set_a_gate(page)


def set_a_gate(page: Page) -> None:
    """A run with a gate: errors stand at the gate's fields, and its tab shows it."""
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/jobs/new?model=acme/base&file=file-pairs")
    page.locator("summary", has_text="Gates").click()
    page.get_by_role("button", name="Add a gate").click()
    gate = page.get_by_role("group", name="Gate 1")
    gate.get_by_label("At least").fill("base - much")
    assert violations(page) == []
    page.get_by_role("button", name="Start the run").click()
    expect(gate.get_by_label("Prompts", exact=True)).to_be_focused()
    gate.get_by_label("Prompts", exact=True).select_option("file-prompts")
    page.get_by_role("button", name="Start the run").click()
    expect(gate.get_by_role("alert")).to_contain_text("A threshold is a number")
    expect(gate.get_by_label("At least")).to_be_focused()
    gate.get_by_label("At least").fill("base - 0.02")
    page.get_by_role("button", name="Start the run").click()
    expect(page).to_have_url(re.compile("/jobs/ftjob-"))
    page.get_by_role("link", name="evaluations", exact=True).click()
    gates = page.get_by_role("table", name="Gates")
    expect(gates).to_contain_text("base - 0.02")
    expect(gates).to_contain_text("not decided")
    assert violations(page) == []


def look_at_all(page: Page, ids: list[str]) -> None:
    """No barrier and no sideways scrolling, in both themes, at desktop and phone width."""
    ifeval, judged = ids
    said = {
        "/evaluations": "42.0% (39.0% to 45.0%)",
        "/evaluations/judges": "worse than a coin",
        "/evaluations/leaderboard": "nothing to be compared with",
        f"/evaluations/{ifeval}?item=3": "got worse",
        f"/evaluations/{judged}?item=0": "The judge prefers what it sees first.",
    }
    found: list[str] = []
    for theme in ("light", "dark"):
        page.evaluate(f"localStorage.setItem('theme', {json.dumps(theme)})")
        for path, text in said.items():
            page.goto(path)
            expect(page.get_by_text(text).first).to_be_visible()
            for width, height in ((1280, 900), (390, 844)):
                page.set_viewport_size({"width": width, "height": height})
                found += violations(page)
                over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                found += [f"{path} is {over} px too wide at {width}"] if over > 0 else []
    assert found == []
