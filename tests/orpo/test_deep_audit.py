"""The deep audit: planted swaps are found, no judge has seen what it judges, and folds are kept."""

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orpo.audit import found, judge, noise
from orpo.contract.deep_audit import N_PARTS, ROUNDS
from orpo.contract.rundir import DEEP_AUDIT, DEEP_AUDIT_FOUND, DEEP_AUDIT_PAIRS, PARTS
from orpo.run import deep_audit
from orpo.run.cross_fit import CrossFit
from tests.orpo.tiny_run import FORK, Bench, records, write_pairs

N_PAIRS, N_PLANTED = 60, 6
PLANTED = frozenset(random.Random(1).sample(range(1, N_PAIRS + 1), N_PLANTED))


def swap(path: Path, lines: frozenset[int]) -> Path:
    """Another file, with the answers of these lines swapped."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if row["line"] in lines:
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    swapped = path.with_name(f"{path.stem}-{'-'.join(map(str, sorted(lines)))}.jsonl")
    swapped.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return swapped


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Bench:
    """Pairs whose answers differ in their letters, of which some are swapped."""
    folder = tmp_path_factory.mktemp("audits")
    path, draw = folder / "pairs.jsonl", random.Random(0)
    with path.open("w") as file:
        for line in range(1, N_PAIRS + 1):
            texts = ["".join(draw.choices(letters, k=12)) for letters in ("abcd ", "wxyz ")]
            chosen, rejected = ([{"role": "assistant", "content": f"{text}."}] for text in texts)
            prompt = [{"role": "user", "content": f"Question {line}"}]
            row = {"line": line, "prompt": prompt, "chosen": chosen, "rejected": rejected}
            file.write(json.dumps(row) + "\n")
    return Bench(folder, tiny_base, swap(path, PLANTED))


def spec_of(audits: Bench, name: str, **settings: Any) -> Path:
    quick = {"n_epochs": 4, "max_steps": None, "held_out_fraction": 0.0, "type": "dpo"}
    return audits.spec(name, **{**quick, **settings})


def judged(run_dir: Path) -> list[dict[str, Any]]:
    """Make an audit; returns the judged pairs."""
    assert deep_audit.main(run_dir) == 0, records(run_dir, "events")[-1]
    return [json.loads(line) for line in (run_dir / DEEP_AUDIT_PAIRS).read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(audits: Bench) -> Path:
    """The run directory of an undisturbed audit."""
    run_dir = spec_of(audits, "whole")
    judged(run_dir)
    return run_dir


def pairs_of(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / DEEP_AUDIT_PAIRS).read_text().splitlines()]


def folds(run_dir: Path) -> list[dict[str, np.ndarray]]:
    """The measured parts of each round."""
    return [dict(np.load(fold)) for fold in sorted((run_dir / PARTS).glob("round-*.npz"))]


def share_of_planted(ordered: list[int]) -> float:
    return len(PLANTED & set(ordered[:N_PLANTED])) / N_PLANTED


def test_planted_swaps_are_first_and_are_findings(whole: Path) -> None:
    pairs = pairs_of(whole)
    assert share_of_planted([pair["line"] for pair in pairs]) >= 0.8
    assert [pair["rank"] for pair in pairs] == list(range(1, N_PAIRS + 1))
    assert sorted(pair["place"] for pair in pairs) == list(range(N_PAIRS))
    scores = [pair["score"] for pair in pairs]
    assert scores == sorted(scores, reverse=True)
    swapped = sorted(pair["place"] for pair in pairs if pair["opinion"] == "likely_swapped")
    assert found.read(whole / DEEP_AUDIT_FOUND, "likely_swapped").places.tolist() == swapped
    summary = json.loads((whole / DEEP_AUDIT).read_text())
    assert (summary["pairs"], summary["likely_swapped"]) == (N_PAIRS, len(swapped))
    share = summary["noise_share"]
    assert share["low"] <= N_PLANTED / N_PAIRS <= share["high"]


def test_the_adapters_alone_find_planted_swaps(whole: Path) -> None:
    gains = np.zeros(N_PAIRS)
    for fold in folds(whole):
        gains[fold["places"]] += fold["gain"]
    assert share_of_planted((np.argsort(gains) + 1).tolist()) >= 0.8


def test_progress_reaches_the_number_of_steps_that_was_announced(whole: Path) -> None:
    steps = [record["step"] for record in records(whole, "metrics")]
    assert steps == list(range(1, records(whole, "events")[0]["data"]["steps"] + 1))


def test_no_adapter_has_seen_the_pairs_that_it_judges(audits: Bench, whole: Path) -> None:
    """Where a pair that is swapped is judged, nothing changes but the sign of its own margin."""
    swapped_line = 7
    other = spec_of(audits, "other", train_path=swap(audits.train_path, frozenset({swapped_line})))
    judged(other)
    unchanged = 0
    for before, after in zip(folds(whole), folds(other), strict=True):
        sign = np.where(before["places"] == swapped_line - 1, -1, 1)
        is_same = np.allclose(before["gain"], sign * after["gain"], rtol=1e-6, atol=1e-9)
        assert is_same == (swapped_line - 1 in before["places"])
        unchanged += is_same
    assert unchanged == ROUNDS


def test_a_killed_audit_goes_on_with_the_parts_that_it_had(
    audits: Bench, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = spec_of(audits, "killed")
    child = FORK.Process(target=_die_in_second_fold, args=(killed,))
    child.start()
    child.join(60)
    assert child.exitcode == -9
    kept = sorted(path.name for path in (killed / PARTS).glob("*.npz"))
    assert kept == ["base.npz", "round-0-part-0.npz"]
    calls = []
    judge_part = CrossFit.judge
    counted = lambda *given: calls.append(given) or judge_part(*given)  # noqa: E731
    monkeypatch.setattr(CrossFit, "judge", counted)
    monkeypatch.setattr(CrossFit, "base", lambda _: pytest.fail("measured again"))
    resumed = spec_of(audits, "resumed", resume_from=killed / PARTS)
    judged(resumed)
    # The same bytes as an audit that was not killed, which also shows that audits are repeatable.
    for name in (DEEP_AUDIT, DEEP_AUDIT_PAIRS):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert len(calls) == ROUNDS * N_PARTS - 1
    assert records(resumed, "events")[0]["type"] == "resumed"
    assert len(folds(resumed)) == ROUNDS * N_PARTS  # so that it may be killed again


def _die_in_second_fold(run_dir: Path) -> None:
    judge_part, calls = CrossFit.judge, []

    def die(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            os.kill(os.getpid(), 9)
        return judge_part(*given)

    CrossFit.judge = die  # pyright: ignore[reportAttributeAccessIssue]
    deep_audit.main(run_dir)


def test_parts_of_other_data_are_not_taken_over(audits: Bench, whole: Path) -> None:
    parts = deep_audit.Parts(audits.folder / "parts", "another fingerprint")
    parts.take_over(whole / PARTS)
    assert parts.read("base") is None


def test_a_file_of_few_pairs_is_refused_with_a_sentence(audits: Bench) -> None:
    few = write_pairs(audits.folder / "few.jsonl", 10)
    run_dir = spec_of(audits, "few", train_path=few)
    assert deep_audit.main(run_dir) == 2
    error = records(run_dir, "events")[-1]
    assert error["data"]["param"] == "training_file"
    assert "10 usable pairs" in error["message"]


def test_an_audit_that_is_asked_to_stop_ends_without_a_result(
    audits: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = spec_of(audits, "stopped")
    monkeypatch.setattr("orpo.process.stopping.Stopping.requested", True)
    assert deep_audit.main(run_dir) == 75
    assert records(run_dir, "events")[-1]["type"] == "stopped"
    assert not (run_dir / DEEP_AUDIT).exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_the_noise_of_a_good_judge_is_what_was_planted(share: float) -> None:
    draw = np.random.default_rng(0)
    right = sigmoid_of(draw.normal(4, 1, 400))
    n_wrong = round(share * 400)
    right[:n_wrong] = 1 - right[:n_wrong]
    estimate = noise.share(right)
    assert estimate.low - 0.02 <= share <= estimate.high + 0.02
    assert abs(estimate.share - share) < 0.03


def sigmoid_of(log_odds: np.ndarray) -> np.ndarray:
    return judge.sigmoid(log_odds)


def test_a_regression_has_no_side_that_it_prefers() -> None:
    """Mirrored features give mirrored weights, with more pairs than features and with fewer."""
    draw = np.random.default_rng(0)
    for shape in ((30, 4), (12, 40)):
        features = draw.normal(size=shape) + 0.5
        weights = judge._minimum(features, 1.0)
        assert np.allclose(weights, -judge._minimum(-features, 1.0))
        wrong = judge.sigmoid(-features @ weights)
        assert np.allclose(features.T @ wrong, weights, atol=1e-6)  # the gradient is zero


@pytest.mark.parametrize("n_parts", [2, 5])
def test_pairs_of_one_prompt_are_judged_together(n_parts: int) -> None:
    groups = [0] * 8 + [at // 2 for at in range(2, 42)]
    parts = judge.split(groups, n_parts, "seed")
    assert sorted(place for part in parts for place in part) == list(range(48))
    for part in parts:
        assert part == sorted(part)
    sides = [{groups[place] for place in part} for part in parts]
    assert sum(map(len, sides)) == len(set(groups))
    assert max(map(len, parts)) - min(map(len, parts)) <= 2
    assert parts != judge.split(groups, n_parts, "another seed")


def test_a_file_with_one_prompt_is_split_all_the_same() -> None:
    assert sorted(map(len, judge.split([0] * 31, 2, "seed"))) == [15, 16]
