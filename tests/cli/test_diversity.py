"""The suite `diversity` in a terminal."""

from typing import Any

from cli.commands import evaluations
from cli.view import scores
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi
from tests.cli.test_evaluations import EVALUATION, PATH, measured

ALIKE = {
    "metric": "per_input",
    "category": None,
    "model": measured(0.83, 0.8, 0.86),
    "baseline": measured(0.7, 0.66, 0.74),
    "difference": measured(0.13, 0.1, 0.16),
}
DIVERSITY: dict[str, Any] = {
    **EVALUATION,
    "suite": {**EVALUATION["suite"], "name": "diversity", "title": "Diversity"},
    "samples": 5,
    "scores": [ALIKE],
    "diversity": {
        "embedder": "all-MiniLM-L6-v2", "embedder_sha256": "53aa51172d142c89", "max_tokens": 256,
        "embedded": 980, "truncated": 1200,
    },
}  # fmt: skip


def test_similarities_are_shown_with_what_lower_means(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"GET {PATH}", DIVERSITY)
    said = " ".join(oddsmith("evaluations", "show", "eval-1").stdout.split())
    assert "all-MiniLM-L6-v2 (53aa51172d14); of 1,200 answers it read the first 256" in said
    assert "0.83 (0.80 to 0.86)" in said
    assert "per_input of tuned is higher than that of base, +0.13 (+0.10 to +0.16);" in said
    assert "a lower value is more diverse" in said


def test_a_similarity_that_rose_is_red() -> None:
    assert scores.difference("per_input", ALIKE["difference"]).style == "red"
    assert scores.difference("across_input", measured(-0.1, -0.2, -0.01)).style == "green"
    assert scores.difference("reward", ALIKE["difference"]).style == "green"
    assert scores.difference("per_input", measured(0.1, -0.1, 0.2)).style == ""


def test_all_samples_of_an_item_are_printed() -> None:
    turns = [[{"content": "First?"}], [{"content": "Second?"}]]
    ours = [{"text": text} for text in ("a1", "a2", "b1", "b2")]
    item = {"turns": turns, "answers": ours, "baseline_answers": [None], "judgments": []}
    assert list(evaluations._texts(item)) == [
        ("prompt", "First?"), ("model 1", "a1"), ("model 2", "b1"), ("baseline", "(no answer)"),
        ("prompt", "Second?"), ("model 1", "a2"), ("model 2", "b2"),
    ]  # fmt: skip


def test_the_number_of_samples_is_sent(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/evaluations", {**DIVERSITY, "status": "queued"})
    asked = ("evaluate", "tuned", "--suite", "diversity", "--data", "file-1", "--detach")
    oddsmith(*asked, "--samples", "7")
    oddsmith(*asked)
    sent = api.sent("POST", "/v1/evaluations")
    assert [each.json.get("samples") for each in sent] == [7, None]
