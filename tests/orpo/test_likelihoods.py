"""`python -m orpo.likelihoods`: the numbers of a run's own evaluation, for any model and pairs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from orpo.contract.likelihoods import LIKELIHOODS
from orpo.contract.spec import read_spec, write_spec
from orpo.layers.peft import PeftModel
from orpo.run import likelihoods
from orpo.run.likelihoods import main
from tests.orpo import reference
from tests.orpo.tiny_run import Bench, checkpoint, records

Found = dict[int, dict[str, Any]]


def measure(run_dir: Path, folder: Path | None, capsys: Any, **changes: Any) -> Found:
    """Measure a checkpoint of a run, or its base (None), under the run's settings; by line."""
    of_run = read_spec(run_dir)
    method = of_run.method.model_copy(update=changes.pop("method", {}))
    spec = of_run.model_copy(update={"resume_from": folder, "method": method, **changes})
    asked = run_dir.with_name(f"{run_dir.name}-asked")
    write_spec(spec, asked)
    assert main(asked) == 0, capsys.readouterr().out
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    lines = [json.loads(line) for line in (asked / LIKELIHOODS).read_text().splitlines()]
    assert said["pairs"] == len(lines)
    assert said["measured"] == sum(line["problem"] is None for line in lines)
    return {line["line"]: line for line in lines}


def assert_equal(run_dir: Path, step: int, found: Found, atol: float = 1e-4) -> None:
    """The numbers are those that the run has recorded of its held-out pairs at a step."""
    of_step = [record for record in records(run_dir, "pairs") if record["step"] == step]
    assert len(of_step) == 4
    for record in of_step:
        ours = found[record["line"]]
        assert ours["chosen"] == pytest.approx(record["logps_chosen"], abs=atol)
        assert ours["rejected"] == pytest.approx(record["logps_rejected"], abs=atol)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tuning": "full"},
        {"precision": "bf16"},
        {"precision": "bf16", "tuning": "full"},
        {"type": "supervised", "use_dora": True},
        {"type": "dpo", "modules_to_save": ["embed_tokens"]},
        # Half of the pairs are cut.
        {"max_length": 40, "overlong": "truncate_prompt"},
    ],
)
def test_the_numbers_are_those_of_the_runs_own_evaluation(
    bench: Bench, capsys: Any, settings: dict[str, Any]
) -> None:
    run = bench.run("run", checkpoint_every=3, **settings)
    assert_equal(run, 0, measure(run, None, capsys))
    before = measure(run, checkpoint(run, 3), capsys)
    assert_equal(run, 3, before)
    after = measure(run, checkpoint(run, 6), capsys)
    assert_equal(run, 6, after)
    # The training has changed them by far more than the tolerance.
    measured = [n for n, pair in after.items() if pair["problem"] is None]
    assert any(abs(after[n]["chosen"] - before[n]["chosen"]) > 0.01 for n in measured)


def test_they_are_those_of_transformers_in_fp64(bench: Bench, capsys: Any) -> None:
    run = bench.run("run")
    found = measure(run, checkpoint(run, 6), capsys)
    base = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float64)
    adapted = PeftModel.from_pretrained(base, str(checkpoint(run, 6) / "adapter")).double()
    tokenizer = AutoTokenizer.from_pretrained(bench.base)
    assert len(found) == 20
    for row in map(json.loads, bench.train_path.read_text().splitlines()):
        for side in ("chosen", "rejected"):
            asked = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)
            whole = tokenizer.apply_chat_template([*row["prompt"], *row[side]])
            start, ids = len(asked["input_ids"]), whole["input_ids"][:-1]  # without the last \n
            with torch.no_grad():
                logps = reference.logps(adapted, ids)
            assert found[row["line"]][side] == pytest.approx(float(logps[start:].mean()), abs=1e-5)


def test_a_pair_has_the_same_numbers_alone_and_among_others(
    bench: Bench, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.run("run", max_steps=2)
    together = measure(run, checkpoint(run, 2), capsys)
    monkeypatch.setattr(likelihoods, "PAIRS_AT_ONCE", 1)
    alone = measure(run, checkpoint(run, 2), capsys)
    assert together.keys() == alone.keys()
    for line, pair in together.items():
        assert pair["chosen"] == pytest.approx(alone[line]["chosen"], abs=1e-5)


def test_pairs_that_can_not_be_measured_say_why(bench: Bench, capsys: Any) -> None:
    run = bench.run("run", max_steps=2)
    rows = [json.loads(line) for line in bench.train_path.read_text().splitlines()][:5]
    rows[0]["prompt"][0]["content"] = "word " * 400
    rows[1]["chosen"][0]["content"] = "it holds <|im_end|> inside"
    rows[2]["rejected"] = None
    rows[3]["rejected"] = rows[3]["chosen"]
    path = bench.folder / "few.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = measure(run, None, capsys, train_path=path)
    codes = [(found[n]["problem"] or {}).get("code") for n in range(1, 6)]
    assert codes == ["prompt_too_long", "special_token", "no_rejected", "identical", None]
    assert [found[n]["chosen"] is None for n in range(1, 6)] == [True] * 4 + [False]
    assert "max_length" in found[1]["problem"]["message"]


def test_damaged_weights_are_refused(bench: Bench, capsys: Any) -> None:
    run = bench.run("run", max_steps=2)
    folder = checkpoint(run, 2)
    weights = folder / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    asked = bench.spec("asked", resume_from=folder)
    assert main(asked) != 0
    assert "does not match its sha256" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_each_number_is_in_the_file_before_the_next_is_computed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = bench.spec("asked", token_budget=64)
    seen: list[int] = []
    compute = likelihoods.token_logps

    def watch(*given: Any) -> Any:
        seen.append(len((asked / LIKELIHOODS).read_text().splitlines()))
        return compute(*given)

    monkeypatch.setattr(likelihoods, "token_logps", watch)
    assert main(asked) == 0
    assert seen[0] == 0
    assert len(set(seen)) == len(seen) > 5
