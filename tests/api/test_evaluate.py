"""`oddsmith evaluate` through the API and the worker: a model against its base, with a judge."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from cli.main import app
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.api.conftest import KEY
from tests.api.servers import serving
from tests.services import evaluated
from tests.services.fake_openai import Body, FakeOpenAI, Reply, prompt_of
from workers import evaluations as worker

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
PROMPTS = 12


def say(_: int, body: Body) -> Reply:
    """`tuned` leaves out the comma that `base` writes; the judge prefers the answer without."""
    if body["model"] == "gpt":
        return Reply("[[A]]" if ",</b>" not in first_of(prompt_of(body)) else "[[B]]")
    comma = "," if body["model"] == "base" else ""
    return Reply(f"{prompt_of(body)} is <b>done{comma}</b>")


def first_of(asked: str) -> str:
    """The answer that a judge's prompt shows first."""
    return asked.partition("# Answer A")[2].partition("# Answer B")[0]


@pytest.fixture
def api(
    product: None, application: FastAPI, tmp_path: Path, settings_from: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[FakeOpenAI]:  # fmt: skip
    """The API on a port, the command pointed at it, and a server for both models and the judge."""
    settings_from(egress_allow="127.0.0.1", heartbeat_s=0.05)
    socket = tmp_path / "engine.sock"
    server = FakeOpenAI(say)
    with server.serving(socket), server.serving(), serving(application) as port:
        with transaction() as session:
            for name in ("tuned", "base"):
                evaluated.deployed(session, CALLER, name, socket)
        monkeypatch.setenv("ODDSMITH_API_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("ODDSMITH_API_KEY", KEY)
        yield server


@pytest.fixture
def oddsmith(api: FakeOpenAI) -> Callable[..., Any]:
    """Run the command; a worker evaluates meanwhile."""

    def work() -> None:
        until = time.monotonic() + 30
        while not done and time.monotonic() < until:
            worker.evaluate()
            time.sleep(0.02)

    done: list[bool] = []

    def run(*arguments: str) -> Any:
        done.clear()
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                shown = CliRunner().invoke(app, list(arguments))
            finally:
                done.append(True)
            working.result()
        assert shown.exit_code == 0, shown.stdout + shown.stderr
        return shown

    return run


def prompts() -> str:
    with transaction() as session:
        rows = evaluated.ifeval_rows(PROMPTS)
        return evaluated.prompt_file(session, CALLER, rows).id


def test_a_tuned_model_is_better_than_its_base(oddsmith: Callable[..., Any]) -> None:
    data = prompts()
    evaluate = ("evaluate", "tuned", "--suite", "ifeval", "--data", data)
    shown = oddsmith(*evaluate, "--against", "base")
    assert "Asking for answers" in shown.stdout
    assert "100.0% (100-100)" in shown.stdout
    assert "More than chance: prompt_strict of tuned is higher than that of base" in shown.stdout
    shown = oddsmith("evaluate", "base", "--suite", "ifeval", "--data", data, "--json")
    base = json.loads(shown.stdout)
    listed = oddsmith("evaluations", "list", "--model", "tuned", "--json").stdout
    (tuned,) = json.loads(listed)
    assert tuned["counts"]["answered"] == base["counts"]["answered"] == PROMPTS
    compared = oddsmith("evaluations", "compare", base["id"], tuned["id"]).stdout
    assert "tuned   100.0% (100-100)   +100.0 (+100.0 to +100.0)" in compared
    items = json.loads(
        oddsmith("evaluations", "items", tuned["id"], "--json", "--limit", "2").stdout
    )
    assert [item["change"] for item in items] == [1.0, 1.0]
    assert items[0]["answers"][0]["text"] == "Prompt 0 is <b>done</b>"


def test_a_judge_sees_both_orders(api: FakeOpenAI, oddsmith: Callable[..., Any]) -> None:
    with transaction() as session:
        judge = records.judge(session, CALLER, base_url=api.url, sampling={"max_tokens": 9}).id
    shown = oddsmith(
        "evaluate", "tuned", "--against", "base", "--suite", "custom", "--data", prompts(),
        "--judge", judge, "--limit", "5", "--seed", "3",
    )  # fmt: skip
    assert "More than chance: tuned is preferred to base." in shown.stdout
    assert "5 won, 0 drawn, 0 lost" in shown.stdout
    assert "5 of 12, drawn with seed 3" in shown.stdout
    assert sum(body["model"] == "gpt" for body in api.asked) == 10
    (evaluation,) = json.loads(oddsmith("evaluations", "list", "--json").stdout)
    (item,) = json.loads(
        oddsmith("evaluations", "items", evaluation["id"], "--json", "--limit", "1").stdout
    )
    judged = [(each["order"], each["text"]) for each in item["judgments"]]
    assert judged == [("model_first", "[[A]]"), ("baseline_first", "[[B]]")]
