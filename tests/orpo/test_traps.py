"""Eleven known mistakes of other trainers, each by its number."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from orpo.contract import manifest
from orpo.contract.hyperparameters import Precision
from orpo.contract.methods import parse_method
from orpo.contract.spec import read_spec
from orpo.loss.loss import counts, log_odds, objective
from orpo.model import policy
from orpo.model.policy import head, prepare, token_logps
from orpo.rows.formats import Message, Pair, validate
from orpo.run import train
from orpo.tokens import data
from orpo.tokens.pack import collate
from orpo.tokens.templates import load_tokenizer, render
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo import tiny_models, tiny_run
from tests.orpo.judge import adapted, assert_equal, ours
from tests.orpo.tiny_run import END, Bench, numbers, records, state

FULL = parse_method("orpo", {"tuning": "full", "lambda": 0.5})
EDGES = [0.0, -1e-12, -1e-8, -1e-3, -700.0]


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def assistant(text: str) -> list[Message]:
    return [Message(role="assistant", content=text)]


def add(bench: Bench, *pairs: tuple[str, str, str]) -> None:
    """Append rows to those of the bench, in the format of an upload."""
    path = bench.folder / "upload.jsonl"
    rows = [json.loads(line) for line in bench.train_path.read_text().splitlines()]
    rows += [
        {"prompt": user(prompt), "chosen": assistant(chosen), "rejected": assistant(rejected)}
        for prompt, chosen, rejected in pairs
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    validate(path, path.name, bench.train_path)


def dropped(run_dir: Path) -> dict[str, int]:
    return records(run_dir, "events")[0]["data"]["dropped"]


def assert_finite(run_dir: Path, step: int) -> None:
    assert all(math.isfinite(v) for values in numbers(run_dir).values() for v in values.values())
    assert all(t.isfinite().all() for t in state(tiny_run.checkpoint(run_dir, step)).values())


def test_trap_1_a_prompt_that_leaves_no_room_is_dropped_and_counted(bench: Bench) -> None:
    add(bench, ("salt " * 80, "yes", "no"), ("oak " * 80, "no", "yes"))
    run = bench.run("run", held_out_fraction=0, max_steps=6, max_length=200)
    assert dropped(run) == {"prompt_too_long": 2}
    assert_finite(run, 6)


def test_trap_1_or_it_is_cut_from_the_left_when_asked(bench: Bench) -> None:
    add(bench, ("salt " * 80, "yes", "no"))
    settings = {"held_out_fraction": 0, "max_length": 200, "overlong": "truncate_prompt"}
    run = bench.run("run", max_steps=6, **settings)
    assert dropped(run) == {}
    assert max(values["truncated_share"] for values in numbers(run).values()) > 0
    assert_finite(run, 6)


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_trap_1_an_answer_of_no_tokens_that_came_so_far_would_be_refused(side: str) -> None:
    (pair,) = tiny_models.examples(seed=1, n=1)
    with pytest.raises(ValueError, match="Line 0 has an answer of no tokens"):
        collate([replace(pair, **{side: [], f"{side}_mask": []})], prefix_sharing=True)


@pytest.mark.parametrize("logp", EDGES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_trap_2_the_odds_have_a_gradient_at_every_log_prob(logp: float, dtype: torch.dtype) -> None:
    x = torch.tensor(logp, dtype=dtype, requires_grad=True)
    log_odds(x).backward()
    assert x.grad is not None
    assert x.grad.isfinite()


@pytest.mark.parametrize("precision", list(Precision))
def test_trap_2_so_has_a_model_that_is_sure_of_its_answers(precision: Precision) -> None:
    model = prepare(tiny_models.llama())
    head(model).weight.data.mul_(200)
    pairs = tiny_models.examples(seed=2, n=4)
    ids = torch.tensor([pairs[0].prefix])
    sure = int(model(input_ids=ids).logits[0, -1].argmax())
    for side in ({"chosen": [sure]}, {"rejected": [sure]}):
        pair = replace(pairs[0], **side, **{f"{name}_mask": [True] for name in side})
        loss, gradients = ours(model, [pair, *pairs[1:]], FULL, precision=precision)
        assert math.isfinite(loss)
        assert all(g.isfinite().all() for g in gradients.values())


def test_trap_3_a_mean_of_means_would_be_another_loss() -> None:
    """`test_any_step.py` compares ours with the undivided step; this shows that a mean differs."""
    model, pairs = prepare(tiny_models.llama()), tiny_models.examples(seed=3, n=6)
    batches = [collate(pairs[at : at + 2], prefix_sharing=True) for at in (0, 2, 4)]
    alone = [
        objective(token_logps(model, b, Precision.FP32), b, FULL, counts([b], FULL)).loss.item()
        for b in batches
    ]
    loss, _ = ours(model, pairs, FULL)
    assert abs(sum(alone) / 3 - loss) > 1e-3 * loss


def test_trap_4_the_token_that_pads_is_learnt_where_a_turn_ends(bench: Bench) -> None:
    run = bench.spec("run")
    tokenizer = load_tokenizer(bench.base)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == END
    examples = data.load(read_spec(run), tokenizer).train.examples[:]
    batch = collate(examples, prefix_sharing=True)
    ends = batch.target_L == END
    assert int(ends.sum()) == 2 * len(examples)
    assert batch.in_answer_L[ends].all()
    assert int(batch.in_nll_L[ends].sum()) == len(examples)


def test_trap_5_answers_that_begin_alike_are_trained_from_their_first_token(bench: Bench) -> None:
    bench.train_path.write_text("")
    add(bench, ("why", "the salt is old", "the salt is new"))
    tokenizer = load_tokenizer(bench.base)
    spec = read_spec(bench.spec("run", held_out_fraction=0))
    (example,) = data.load(spec, tokenizer).train.examples
    assert example.prefix == render(tokenizer, user("why"), add_generation_prompt=True)
    for tail, mask in (
        (example.chosen, example.chosen_mask),
        (example.rejected or [], example.rejected_mask),
    ):
        assert str(tokenizer.decode(tail)).startswith("the salt is ")
        assert all(mask)


def test_trap_5_what_merges_across_the_border_is_trained_in_the_tail() -> None:
    tokenizer = tiny_models.tokenizer()
    pair = Pair(1, user("what"), assistant("\n\n\nyes"), assistant("no"))
    ((example,), _, stats) = tokenize_pairs([pair], tokenizer, FULL)
    assert stats["border_merges"] == 1
    whole = tokenizer(tokenizer.decode(example.prefix + example.chosen), add_special_tokens=False)
    assert whole["input_ids"] == example.prefix + example.chosen
    assert example.chosen_mask[0]


def test_trap_6_a_template_that_writes_the_bos_gets_no_second_one(tmp_path: Path) -> None:
    """The tokenizer would add a BOS to any text."""
    tiny_models.tokenizer("{{ bos_token }}" + tiny_models.CHATML, bos="<s>").save_pretrained(
        tmp_path
    )
    tokenizer: Any = load_tokenizer(tmp_path)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert tokenizer("yes")["input_ids"][0] == tokenizer.bos_token_id
    pair = Pair(1, user("what"), assistant("yes"), assistant("no"))
    ((example,), _, _) = tokenize_pairs([pair], tokenizer, FULL)
    ids = example.prefix + example.chosen + (example.rejected or [])
    assert ids.count(tokenizer.bos_token_id) == 1


def test_trap_6_an_engine_renders_what_was_trained(bench: Bench) -> None:
    """Render with the tokenizer and the template that are saved with the trained weights."""
    run = bench.run("run", max_steps=1)
    served = AutoTokenizer.from_pretrained(tiny_run.checkpoint(run, 1) / "adapter")
    loaded = data.load(read_spec(run), load_tokenizer(bench.base))
    rows = {row.line: row for row in loaded.train.rows}
    for example in loaded.train.examples:
        prompt = rows[example.line].prompt
        rendered = served.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
        assert example.prefix == rendered


def test_trap_7_answers_that_teach_nothing_never_reach_a_step(bench: Bench) -> None:
    path = bench.folder / "upload.jsonl"
    pairs = [("", "no"), ("yes", " \n\t"), ("yes", "yes")]
    path.write_text(
        "".join(json.dumps({"prompt": "why", "chosen": c, "rejected": r}) + "\n" for c, r in pairs)
    )
    report = validate(path, path.name, None)
    assert report.dropped == {"empty": 2, "identical": 1}
    add(bench, ("why", "salt " * 60 + "yes", "salt " * 60 + "no"))
    run = bench.run("run", held_out_fraction=0, max_length=200, max_steps=6)
    assert dropped(run) == {"identical_after_truncation": 1}
    assert_finite(run, 6)


def test_trap_8_one_long_pair_needs_no_more_memory_in_the_head_than_a_tile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = prepare(tiny_models.llama())
    monkeypatch.setattr(policy, "TILE_BYTES", 4 * tiny_models.VOCAB * 5)
    rows: list[int] = []
    compute = policy._tile_logps
    monkeypatch.setattr(
        policy, "_tile_logps", lambda lm, h, t: rows.append(len(t)) or compute(lm, h, t)
    )
    (pair,) = tiny_models.examples(seed=4, n=1, longest=60)
    n = len(pair.chosen) + len(pair.rejected or ())
    _, gradients = ours(model, [pair], FULL)
    assert max(rows) == 5 < n
    assert sum(rows) >= 2 * n  # again in the backward pass
    assert all(g.isfinite().all() for g in gradients.values())


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_trap_9_experts_are_trained_without_an_auxiliary_loss(tuning: str) -> None:
    """The base's configuration must not add an auxiliary loss."""
    model = tiny_models.mixtral(router_aux_loss_coef=5.0, output_router_logits=True)
    method = parse_method("orpo", {"tuning": tuning, "token_budget": 60})
    assert_equal(adapted(model, method), tiny_models.examples(seed=5, n=4), method)


def test_trap_9_tied_embeddings_stay_as_they_are_under_an_adapter() -> None:
    method = parse_method("orpo", {"lora_rank": 4})
    model = adapted(tiny_models.llama(tie_word_embeddings=True), method)
    assert not any("lm_head" in name or "embed" in name for name in policy.trainable(model))
    assert_equal(model, tiny_models.examples(seed=6, n=3), method)


def test_trap_9_dropout_of_the_base_is_off_in_every_mode() -> None:
    model = adapted(tiny_models.gpt2(), FULL)
    assert model.config.resid_pdrop > 0
    model.train()
    assert_equal(model, tiny_models.examples(seed=7, n=3), FULL)


def test_trap_10_a_resumed_run_takes_the_pairs_that_would_have_come(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, list[int]]] = []
    take = train.Run._examples

    def note(run: train.Run, step: int) -> Any:
        examples = take(run, step)
        seen.append((step, [example.line for example in examples]))
        return examples

    monkeypatch.setattr(train.Run, "_examples", note)
    settings = {"checkpoint_every": 3, "n_samples": 0}
    whole = bench.run("whole", **settings)  # four steps per epoch
    expected = seen[3:]
    seen.clear()
    bench.run("again", resume_from=tiny_run.checkpoint(whole, 3), **settings)
    assert seen == expected
    assert [step for step, _ in seen] == [4, 5, 6]


def test_trap_11_a_checkpoint_has_its_name_once_it_is_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = manifest.commit
    before: list[bool] = []

    def look(folder: Path, found: manifest.Manifest, final: Path) -> None:
        before.append(final.exists())
        assert set(manifest.inventory(folder)) == set(found.files)
        commit(folder, found, final)
        assert manifest.verify(final) == found

    monkeypatch.setattr(manifest, "commit", look)
    bench.run("run", max_steps=2, checkpoint_every=1)
    assert before == [False, False]
