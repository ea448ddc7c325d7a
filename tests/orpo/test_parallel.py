"""Several ranks give the result of one process (gate 2), and the requested strategy is used."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PhiConfig, PhiForCausalLM, PreTrainedModel

from orpo.contract.failures import explain
from orpo.contract.methods import parse_method
from orpo.model import policy
from orpo.process import parallel
from orpo.process.parallel import spread
from orpo.run import train
from orpo.run.journal import Journal
from orpo.strategies import adopt
from tests.orpo import tiny_models
from tests.orpo.tiny_run import (
    END,
    FSDP2,
    VOCAB,
    ZERO2,
    ZERO3,
    Bench,
    assert_near,
    bitsandbytes,
    checkpoint,
    fork_ranks,
    fork_single,
    join,
    numbers,
    records,
    spread_over,
    state,
    write_base,
)

ROOT = Path(__file__).parents[2]
Undisturbed = Callable[..., Path]


def assert_close(one: Path, many: Path, step: int) -> None:
    assert_near(checkpoint(one, step), checkpoint(many, step))
    expected = numbers(one)
    assert expected.keys() == numbers(many).keys()
    for key, values in numbers(many).items():
        assert values == pytest.approx(expected[key], rel=1e-5, abs=1e-6)


def small_tiles() -> None:
    """Cut the head into tiles of seven positions; called by each rank before its run."""
    policy.TILE_BYTES = 4 * VOCAB * 7


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", ZERO2, ZERO3])
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_two_ranks_equal_one(
    bench: Bench, undisturbed: Undisturbed, tuning: str, strategy: str
) -> None:
    one = undisturbed(tuning=tuning, learning_rate=1e-3)
    two = bench.spec("two", tuning=tuning, learning_rate=1e-3, **spread_over(strategy))
    assert join(fork_ranks(two, 2)) == [0, 0]
    assert_close(one, two, 6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_two_ranks_train_the_reward_model_of_one(
    bench: Bench, undisturbed: Undisturbed, tuning: str, strategy: str
) -> None:
    settings: dict[str, Any] = {"type": "reward", "tuning": tuning, "learning_rate": 1e-3}
    one = undisturbed(**settings)
    two = bench.spec("two", **settings, **spread_over(strategy))
    assert join(fork_ranks(two, 2)) == [0, 0]
    assert_close(one, two, 6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", FSDP2, ZERO2, ZERO3])
@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        pytest.param({"tuning": "qlora"}, marks=bitsandbytes),
    ],
)
def test_two_ranks_of_other_adapters_equal_one(
    bench: Bench, undisturbed: Undisturbed, settings: dict[str, Any], strategy: str
) -> None:
    one = undisturbed(learning_rate=1e-3, **settings)
    two = bench.spec("two", learning_rate=1e-3, **settings, **spread_over(strategy))
    assert join(fork_ranks(two, 2)) == [0, 0]
    assert_close(one, two, 6)
    left, right = (json.loads((checkpoint(r, 6) / "probe.json").read_text()) for r in (one, two))
    for a, b in zip(left["prompts"], right["prompts"], strict=True):
        assert b["logprobs"] == pytest.approx(a["logprobs"], abs=1e-4)
        assert b["base_logprobs"] == a["base_logprobs"]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[bool, Path]:
    """Base models with a tied head (True) and an untied head (False)."""
    untied = tmp_path_factory.mktemp("base") / "untied"
    return {True: tiny_base, False: write_base(untied, tie_word_embeddings=False)}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [FSDP2, ZERO3])
@pytest.mark.parametrize(
    ("gradient_checkpointing", "is_tied", "settings"),
    [
        (True, True, {"tuning": "full"}),
        (True, False, {"tuning": "full"}),
        (True, False, {"tuning": "lora"}),
        (True, False, {"modules_to_save": ["lm_head"]}),
        # Tiles alone, which those above have too.
        (False, False, {"tuning": "full"}),
        *(pytest.param(False, *each, marks=pytest.mark.long) for each in [
            (True, {"tuning": "full"}),
            (False, {"tuning": "lora"}),
            (False, {"modules_to_save": ["lm_head"]}),
        ]),
    ],
)  # fmt: skip
def test_what_is_computed_again_is_computed_where_weights_are_cut_up(
    bench: Bench,
    undisturbed: Undisturbed,
    bases: dict[bool, Path],
    gradient_checkpointing: bool,
    is_tied: bool,
    settings: dict[str, Any],
    strategy: str,
) -> None:
    """Recompute a head in tiles, of which ranks have different numbers, and layers whose sharded
    weights are gathered again.
    """
    settings = {**settings, "base": bases[is_tied], "learning_rate": 1e-3}
    one = undisturbed(**settings)
    settings["gradient_checkpointing"] = gradient_checkpointing
    two = bench.spec("two", **settings, **spread_over(strategy))
    assert join(fork_ranks(two, 2, small_tiles)) == [0, 0]
    assert_close(one, two, 6)


def phi() -> PreTrainedModel:
    """A model whose head has a bias: the head is called as a module, once per tile."""
    torch.manual_seed(0)
    config = PhiConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, bos_token_id=END, eos_token_id=END,
    )  # fmt: skip
    return PhiForCausalLM(config)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [FSDP2, ZERO3])
@pytest.mark.parametrize("make", [partial(tiny_models.mixtral, vocab_size=VOCAB), phi])
def test_experts_and_a_biased_head_are_cut_up(
    bench: Bench,
    tmp_path: Path,
    make: Callable[[], PreTrainedModel],
    strategy: str,
) -> None:
    base = write_base(tmp_path / "base", model=make())
    settings = {"base": base, "tuning": "full", "learning_rate": 1e-3}
    one = bench.run("one", **settings)
    settings["gradient_checkpointing"] = True
    two = bench.spec("two", **settings, **spread_over(strategy))
    assert join(fork_ranks(two, 2, small_tiles)) == [0, 0]
    assert_close(one, two, 6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [FSDP2, ZERO2, ZERO3])
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_masters_begin_as_the_base_is_stored(
    bench: Bench, undisturbed: Undisturbed, tuning: str, strategy: str
) -> None:
    """bf16 rounds the weights that compute, not the masters; one process needs no launcher."""
    settings = {"precision": "bf16", "learning_rate": 1e-12, "max_steps": 2, "tuning": tuning}
    one = undisturbed(**settings)
    cut = bench.spec("cut", **settings, **spread_over(strategy, 1))
    assert join([fork_single(cut)]) == [0]
    left, right = state(checkpoint(one, 2)), state(checkpoint(cut, 2))
    for name in left:
        if name.startswith("weight/"):
            assert torch.allclose(left[name], right[name], rtol=0, atol=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", FSDP2, ZERO3])
def test_more_ranks_than_pairs(bench: Bench, undisturbed: Undisturbed, strategy: str) -> None:
    """A rank without a pair takes part in every sum, in training and in evaluation."""
    settings = {"batch_size": 2, "max_held_out": 2, "max_steps": 3, "learning_rate": 1e-3}
    one = undisturbed(**settings)
    three = bench.spec("three", **spread_over(strategy, 3), **settings)
    assert join(fork_ranks(three, 3)) == [0, 0, 0]
    assert_close(one, three, 3)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", FSDP2, ZERO2, ZERO3])
def test_a_run_goes_on_under_another_strategy(
    bench: Bench, undisturbed: Undisturbed, strategy: str
) -> None:
    settings = {"learning_rate": 1e-3, "tuning": "full"}
    one = undisturbed(**settings)
    two = bench.spec("two", **settings, **spread_over(strategy), resume_from=checkpoint(one, 4))
    assert join(fork_ranks(two, 2)) == [0, 0]
    assert_near(checkpoint(one, 6), checkpoint(two, 6))


@pytest.mark.parametrize("strategy", ["ddp", FSDP2])
def test_sigterm_at_one_rank_stops_both_at_the_same_step(bench: Bench, strategy: str) -> None:
    run = bench.spec("stop", **spread_over(strategy), max_steps=200, eval_every=200)
    children = fork_ranks(run, 2)
    while len(records(run, "metrics")) < 4:
        assert children[0].is_alive()
    os.kill(children[1].pid, signal.SIGTERM)
    assert join(children) == [75, 75]
    assert [e["type"] for e in records(run, "events")][-2:] == ["checkpoint", "stopped"]


def test_one_rank_tells_what_all_find_and_each_what_it_alone_finds(
    bench: Bench, tmp_path: Path
) -> None:
    base = write_base(tmp_path / "poisoned", poison=True)
    run = bench.spec("nan", base=base, n_samples=0, strategy="ddp", processes=2)
    assert join(fork_ranks(run, 2)) == [3, 3]
    assert [e["data"]["code"] for e in records(run, "events") if e["type"] == "error"] == ["nan"]
    lead, other = Journal(tmp_path), Journal(tmp_path, leads=False)
    other.failure(explain(MemoryError()))
    lead.failure(explain(RuntimeError("connection closed by peer")))
    assert [e["data"]["code"] for e in records(tmp_path, "events")] == ["out_of_memory"]


def test_work_is_dealt_by_cost_and_completely() -> None:
    assert spread([5, 9, 1, 1, 4], 2) == [[1, 2], [0, 3, 4]]
    assert spread([3], 3) == [[0], [], []]


def test_a_launch_that_does_not_match_the_spec_is_refused(
    monkeypatch: pytest.MonkeyPatch, bench: Bench, tmp_path: Path
) -> None:
    method = parse_method("orpo", {"strategy": "ddp", "processes": 2})
    with pytest.raises(parallel.WrongWorld, match=r"orpo\.ranks 2 train"):
        parallel.start(method, tmp_path / "store")
    torch.distributed.destroy_process_group()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(parallel.WrongWorld, match="`single` runs one process"):
        parallel.start(parse_method("orpo", {}), tmp_path / "store")
    run = bench.spec("wrong")
    assert train.main(run) == 2
    assert records(run, "events")[-1]["data"]["code"] == "bad_spec"


def test_ddp_over_one_process_is_ddp(tmp_path: Path) -> None:
    group = parallel.start(parse_method("orpo", {"strategy": "ddp"}), tmp_path / "store")
    assert isinstance(group, parallel.Ranks)
    group.close()


def test_what_can_not_be_cut_up_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopt, "why_unpacked", lambda _: "it is a Mamba")
    run = bench.spec("mamba", strategy="fsdp2")
    assert train.main(run) == 2
    torch.distributed.destroy_process_group()
    error = records(run, "events")[-1]
    assert (error["data"]["code"], error["data"]["param"]) == ("bad_spec", "method.strategy")
    monkeypatch.setattr(adopt, "why_unpacked", lambda _: None)
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    run = bench.spec("none", strategy="zero2")
    assert train.main(run) == 2
    torch.distributed.destroy_process_group()
    assert "DeepSpeed, which is not installed" in records(run, "events")[-1]["message"]


@pytest.mark.slow
def test_under_the_launcher(bench: Bench) -> None:
    """The real launcher: two ranks finish; killing it alone leaves no rank behind."""
    run = bench.spec("run", strategy="ddp", processes=2, max_steps=2)
    assert launch(run).wait(120) == 0
    assert records(run, "events")[-1]["type"] == "finished"
    endless = bench.spec("endless", strategy="ddp", processes=2, max_steps=10**6, n_epochs=1000)
    agent = launch(endless)
    while not records(endless, "metrics"):
        assert agent.poll() is None
    ranks = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    assert len(ranks) == 2
    agent.kill()
    agent.wait(10)
    assert not any(Path(f"/proc/{pid}").exists() and running(pid) for pid in ranks)


def running(pid: str) -> bool:
    until = time.monotonic() + 2
    while time.monotonic() < until:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return False
        except OSError:
            return False
        time.sleep(0.05)
    return True


def launch(run_dir: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "orpo.ranks", "2", "train", str(run_dir)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)
