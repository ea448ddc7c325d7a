"""A committed checkpoint is complete, verifiable and loadable."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from orpo.contract import manifest
from orpo.contract.manifest import Damaged, Manifest, verify
from orpo.contract.rundir import checkpoints
from orpo.manifest import main
from orpo.run import train
from orpo.run.checkpoint import keep_last, prune
from tests import probes
from tests.orpo.tiny_run import Bench, checkpoint, fork_single, join, records, state


@pytest.fixture
def saved(bench: Bench) -> Path:
    return checkpoint(bench.run("run", max_steps=2), 2)


def test_a_committed_checkpoint_verifies(saved: Path) -> None:
    found = verify(saved)
    assert (found.step, found.generation, found.resumable) == (2, 1, True)
    event = next(e for e in records(saved.parents[1], "events") if e["type"] == "checkpoint")
    weights = saved / "adapter" / "adapter_model.safetensors"
    assert event["data"]["sha256"] == found.weights_sha256 == manifest.sha256(weights)
    listed = {p for p in saved.rglob("*") if p.is_file() and p.name != "manifest.json"}
    assert {saved / name for name in found.files} == listed
    assert event["data"]["size_bytes"] == sum(path.stat().st_size for path in listed)
    assert main(saved) == 0


@pytest.mark.parametrize(
    "name", ["adapter/adapter_model.safetensors", "state/training.safetensors", "probe.json"]
)
def test_one_flipped_bit_is_found(saved: Path, name: str, bench: Bench) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(Damaged, match=f"{name} does not match its sha256"):
        verify(saved)
    again = bench.spec("again", max_steps=4, resume_from=saved)
    assert train.main(again) == 6
    assert records(again, "events")[-1]["data"]["code"] == "bad_checkpoint"
    assert main(saved) == 6


def test_a_missing_file_a_cut_file_and_no_manifest_are_found(saved: Path) -> None:
    progress = saved / "state" / "progress.json"
    progress.write_text(progress.read_text()[:-2])
    with pytest.raises(Damaged, match=r"progress\.json does not have"):
        verify(saved)
    progress.unlink()
    with pytest.raises(Damaged, match=r"state/progress\.json is missing"):
        verify(saved)
    (saved / "manifest.json").unlink()
    with pytest.raises(Damaged, match="was never committed"):
        verify(saved)


def test_only_the_last_two_keep_what_a_resume_needs(bench: Bench) -> None:
    run = bench.run("run", max_steps=4, checkpoint_every=1, keep_checkpoints=0)
    found = [verify(checkpoint(run, step)) for step in range(1, 5)]
    assert [m.resumable for m in found] == [False, False, True, True]
    assert not (checkpoint(run, 2) / "state").exists()
    assert (checkpoint(run, 1) / "adapter" / "adapter_model.safetensors").exists()
    again = bench.spec("again", max_steps=4, checkpoint_every=1, resume_from=checkpoint(run, 2))
    assert train.main(again) == 7
    event = records(again, "events")[-1]
    assert event["data"]["code"] == "not_resumable"
    assert "keeps only its weights" in event["message"]


def test_what_the_worker_has_not_registered_lets_nothing_go(bench: Bench) -> None:
    """If the worker is gone, the run resumes from the last checkpoint that it registered."""
    run = bench.spec("run", max_steps=4, checkpoint_every=1, keep_checkpoints=2)
    (run / "registered").write_text("1")
    assert train.main(run) == 0
    assert all(verify(checkpoint(run, step)).resumable for step in range(1, 5))
    (run / "registered").write_text("3")
    prune(run)
    assert [verify(checkpoint(run, step)).resumable for step in range(1, 5)] == [False] + [True] * 3


def test_the_last_three_and_the_best_are_kept(bench: Bench) -> None:
    """Once, `checkpoint_every=1` kept all checkpoints."""
    run = bench.run("run", max_steps=8, checkpoint_every=1, eval_every=1, n_samples=0)
    losses = {
        event["data"]["step"]: event["data"]["metrics"]["held_out"]["loss"]
        for event in records(run, "events")
        if event["type"] == "checkpoint"
    }
    best = min(losses, key=losses.__getitem__)
    assert checkpoints(run) == [checkpoint(run, step) for step in sorted({best, 6, 7, 8})]


@pytest.mark.parametrize(
    ("keep", "left"),
    [(0, [1, 2, 3, 4, 5]), (1, [2, 4, 5]), (3, [2, 3, 4, 5]), (9, [1, 2, 3, 4, 5])],
)
def test_the_best_is_that_of_the_lowest_held_out_loss(
    tmp_path: Path, keep: int, left: list[int]
) -> None:
    losses = {1: 1.0, 2: 0.5, 3: None, 4: 0.7, 5: 0.9}
    lines = [
        json.dumps(
            {"type": "checkpoint", "data": {"step": n, "metrics": {"held_out": {"loss": x}}}}
        )
        for n, x in losses.items()
    ]
    torn = '{"type": "checkpoint", "data": {"st'
    (tmp_path / "events.jsonl").write_text("\n".join([torn, *lines]))
    for step in losses:
        checkpoint(tmp_path, step).mkdir(parents=True)
    keep_last(tmp_path, keep)
    assert checkpoints(tmp_path) == [checkpoint(tmp_path, step) for step in left]


def test_what_the_platform_removes_meanwhile_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2, 3):
        checkpoint(tmp_path, step).mkdir(parents=True)
        found = Manifest(step, 1, "", "", resumable=False, files={})
        manifest.write(checkpoint(tmp_path, step), found)
    read = manifest.read

    def late(folder: Path) -> Manifest:
        folder.rename(folder.with_name(f"{folder.name}.removed"))
        return read(folder)

    monkeypatch.setattr(manifest, "read", late)
    prune(tmp_path)
    assert checkpoints(tmp_path) == [checkpoint(tmp_path, step) for step in (2, 3)]


def test_the_newest_are_kept_beyond_a_million_steps(tmp_path: Path) -> None:
    steps = (999_998, 999_999, 1_000_000, 1_000_001)
    for step in steps:
        (checkpoint(tmp_path, step) / "state").mkdir(parents=True)
        found = Manifest(step, 1, "", "", resumable=True, files={})
        manifest.write(checkpoint(tmp_path, step), found)
    prune(tmp_path)
    assert [folder for folder in checkpoints(tmp_path) if verify(folder).resumable] == [
        checkpoint(tmp_path, step) for step in steps[2:]
    ]


def test_a_saver_killed_anywhere_leaves_only_whole_checkpoints(bench: Bench) -> None:
    """Every renamed checkpoint verifies; the next run in the folder removes the others."""
    run = bench.spec("run", max_steps=500, checkpoint_every=1, eval_every=500, n_samples=0)
    for delay_s in (0.0, 0.003, 0.007, 0.013, 0.02):
        child = fork_single(run)
        while not list(run.glob("checkpoints/*")) and child.is_alive():
            time.sleep(0.001)
        time.sleep(delay_s)
        os.kill(child.pid, signal.SIGKILL)
        join([child])
        for folder in run.glob("checkpoints/step-*[0-9]"):
            assert verify(folder).step == int(folder.name[-6:])
        for folder in run.glob("checkpoints/step-*[0-9]"):
            shutil.rmtree(folder)
    (run / "checkpoints" / "step-000099.tmp").mkdir(parents=True, exist_ok=True)
    spec = json.loads((run / "spec.json").read_text())
    spec["method"]["max_steps"] = 1
    (run / "spec.json").write_text(json.dumps(spec))
    assert train.main(run) == 0
    assert not list(run.glob("checkpoints/*.tmp"))


def test_the_adapter_loads_in_peft_and_says_what_the_probe_says(saved: Path, bench: Bench) -> None:
    """A plain transformers + PEFT forward agrees with the trainer's own log-probs."""
    probe = json.loads((saved / "probe.json").read_text())
    assert len(probe["prompts"]) == 2
    assert probe["weights_sha256"] == verify(saved).weights_sha256
    base = AutoModelForCausalLM.from_pretrained(bench.base)
    tokenizer = AutoTokenizer.from_pretrained(saved / "adapter")
    policy = PeftModel.from_pretrained(base, str(saved / "adapter"))
    for prompt in probe["prompts"]:
        ids = tokenizer.apply_chat_template(
            prompt["messages"], add_generation_prompt=True, return_dict=False
        )
        assert ids == prompt["prompt_token_ids"]
        assert probes.logprobs(policy, prompt) == pytest.approx(prompt["logprobs"], abs=1e-4)
        with policy.disable_adapter():
            own = probes.logprobs(policy, prompt)
        assert own == pytest.approx(prompt["base_logprobs"], abs=1e-4)
        assert prompt["logprobs"] != prompt["base_logprobs"]


def test_the_probe_keeps_the_base_over_a_resume(bench: Bench) -> None:
    first = bench.run("first", tuning="full", max_steps=4)
    again = bench.run("again", tuning="full", max_steps=4, resume_from=checkpoint(first, 2))
    probes = [json.loads((checkpoint(r, 4) / "probe.json").read_text()) for r in (first, again)]
    assert probes[0] == probes[1]


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_the_probe_of_a_bf16_run_is_of_its_saved_weights_in_fp32(bench: Bench, tuning: str) -> None:
    saved = checkpoint(bench.run("run", tuning=tuning, precision="bf16", max_steps=2), 2)
    if tuning == "full":
        policy = AutoModelForCausalLM.from_pretrained(saved / "model")
    else:
        base = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.bfloat16)
        policy = PeftModel.from_pretrained(base, str(saved / "adapter"))
    policy = policy.float()
    for prompt in probes.read(saved):
        assert probes.logprobs(policy, prompt) == pytest.approx(prompt["logprobs"], abs=1e-4)


def test_a_full_model_loads_and_equals_what_was_trained(bench: Bench) -> None:
    saved = checkpoint(bench.run("full", tuning="full", precision="bf16", max_steps=2), 2)
    config = json.loads((saved / "model" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    model = AutoModelForCausalLM.from_pretrained(saved / "model")
    assert model.dtype == torch.bfloat16
    weights = load_file(saved / "model" / "model.safetensors")
    assert "lm_head.weight" not in weights  # tied: written once
    masters = state(saved)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, masters[f"weight/{name}"].bfloat16()), name
    assert AutoTokenizer.from_pretrained(saved / "model").chat_template
