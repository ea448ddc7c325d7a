"""PPO and RLOO on a tiny model whose answers a function scores: what they compute, and that they
can resume."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from orpo.contract.spec import read_spec
from orpo.loss import clipped
from orpo.model import policy
from orpo.process.stopping import Stopping
from orpo.run import learners, rollouts, train
from orpo.run.ppo import PpoLearner
from orpo.run.rloo import RlooLearner
from orpo.tokens.example import Example
from tests.orpo import tiny_run
from tests.orpo.reference import logps, worst_gradient_error
from tests.orpo.tiny_run import (
    Bench,
    assert_near,
    assert_same,
    checkpoint,
    numbers,
    records,
    state,
)

SETTINGS: dict[str, Any] = {
    "type": "ppo", "reward_model": "judge", "batch_size": 6, "minibatch_size": 2, "ppo_epochs": 2,
    "max_new_tokens": 5, "max_steps": 3, "eval_every": 3, "checkpoint_every": 1,
    "keep_checkpoints": 0,
}  # fmt: skip


class Scored:
    """Stands in for a reward model: the share of an answer's tokens with an even id."""

    def __init__(self, *_: Any) -> None:
        pass

    def __call__(self, answers: Sequence[Example]) -> Tensor:
        shares = [sum(t % 2 == 0 for t in a.chosen) / len(a.chosen) for a in answers]
        return torch.tensor(shares, dtype=torch.float64)


def use_scored() -> None:
    """Set the stand-in in a rank of its own, where the fixture's patch is not seen."""
    learners.RewardScorer = Scored  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(autouse=True)
def _scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners, "RewardScorer", Scored)


@pytest.fixture
def in_memory(bench: Bench) -> Iterator[Callable[..., train.Run]]:
    """Make a run that is not started."""
    group: Any = None

    def make(**settings: Any) -> train.Run:
        nonlocal group
        run_dir = bench.spec("memory", **{**SETTINGS, **settings})
        spec = read_spec(run_dir)
        journal = train.Journal(run_dir)
        group = train.parallel.start(spec.method, run_dir / "store")
        return train.Run(spec, run_dir, group, journal, Stopping())

    yield make
    group.close()


def learner_of(run: train.Run) -> PpoLearner:
    assert isinstance(run.learner, PpoLearner)
    return run.learner


def measured(run: train.Run, step: int = 1) -> tuple[rollouts.Rollouts, list[list[int]]]:
    learner = learner_of(run)
    examples = run._examples(step)
    keys = [rollouts.key(0, step, example.line) for example in examples]
    answers = learner.actor.answers(examples, keys)
    assert answers is not None
    order = [*learner.order(len(answers), step, 0)]
    return learner.actor.measure(answers, order), order


def test_an_answer_depends_on_its_key_but_not_on_the_other_answers(
    in_memory: Callable[..., train.Run],
) -> None:
    run = in_memory()
    learner, examples = learner_of(run), run._examples(1)
    keys = [str(n) for n in range(len(examples))]
    together = learner.actor.answers(examples, keys)
    alone = [
        (learner.actor.answers([example], [key]) or [None])[0]
        for example, key in zip(examples, keys, strict=True)
    ]
    assert together == alone
    others = learner.actor.answers(examples, [f"{key}'" for key in keys])
    assert together != others
    assert together is not None
    for answer, example in zip(together, examples, strict=True):
        assert answer.prefix == example.prefix
        assert 1 <= len(answer.chosen) <= 5
        assert tiny_run.END not in answer.chosen[:-1]


def test_answers_are_drawn_from_the_policy(in_memory: Callable[..., train.Run]) -> None:
    """First tokens of many answers to a prompt against the model's own probabilities."""
    run = in_memory(max_new_tokens=1, temperature=0.5, token_budget=100_000)
    learner, example = learner_of(run), run._examples(1)[0]
    n = 4000
    answers = learner.actor.answers([example] * n, [str(at) for at in range(n)])
    assert answers is not None
    model: Any = policy.causal_lm(run.policy)
    with torch.no_grad():
        logits_v = model(input_ids=torch.tensor([example.prefix])).logits[0, -1].double()
    chances_v = (logits_v / 0.5).softmax(-1)
    counts_v = torch.bincount(torch.tensor([a.chosen[0] for a in answers]), minlength=258)
    error_v = (counts_v / n - chances_v).abs() / (chances_v * (1 - chances_v) / n).sqrt()
    assert float(error_v.max()) < 5  # standard errors


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_the_first_ratio_is_exactly_1(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tuning: str, precision: str
) -> None:
    same: list[bool] = []

    def watched(logps_l: Tensor, old_l: Tensor, *rest: Any) -> Any:
        same.append(torch.equal(logps_l.detach().double(), old_l))
        return clipped_terms(logps_l, old_l, *rest)

    clipped_terms = clipped.policy_terms
    monkeypatch.setattr(clipped, "policy_terms", watched)
    bench.run("run", **SETTINGS | {"tuning": tuning, "precision": precision, "max_steps": 2})
    a_step = 3 * 2  # minibatches of two passes; each fits one micro-batch
    assert same[0]
    assert same[a_step]
    assert not any(same[1:3])


def test_the_penalty_compares_with_the_base(in_memory: Callable[..., train.Run]) -> None:
    run = in_memory(modules_to_save=["embed_tokens"], temperature=0.7)
    before, _ = measured(run)
    assert torch.allclose(before.logps_PN, before.reference_PN, atol=1e-5)
    run.step()
    after, _ = measured(run)
    assert not torch.allclose(after.logps_PN, after.reference_PN, atol=1e-3)
    base: Any = policy.load_base(run.spec.base_model_path, None)
    for at, answer in enumerate(after.answers):
        ids = torch.tensor([answer.prefix + answer.chosen])
        with torch.no_grad():
            logps_tv = (base(input_ids=ids).logits[0].double() / 0.7).log_softmax(-1)
        first, size = len(answer.prefix), len(answer.chosen)
        expected = [float(logps_tv[first + t - 1, answer.chosen[t]]) for t in range(size)]
        assert after.reference_PN[at, :size].tolist() == pytest.approx(expected, abs=1e-4)
    assert {name for name, p in run.policy.named_parameters() if p.requires_grad} == set(
        run.strategy.masters.by_name
    )


def test_gradients_equal_a_plain_computation_in_fp64(in_memory: Callable[..., train.Run]) -> None:
    """A minibatch after a step, so that ratios, values and clipping matter."""
    run = in_memory(tuning="full", learning_rate=0.03, clip=0.05, minibatch_size=6, ppo_epochs=1)
    found, (places,) = measured(run)
    run.step()
    learner = learner_of(run)
    targets = learner.targets(found)
    policy_sum, value_sum, n_clipped, n_terms = learner.backward(found, targets, places).tolist()
    assert n_clipped > 0
    ours = {name: master.grad.clone() for name, master in run.strategy.masters.by_name.items()}  # pyright: ignore[reportOptionalMemberAccess]
    model: Any = run.policy.double()
    for parameter in model.parameters():
        parameter.grad = None
    total, n_tokens = torch.zeros((), dtype=torch.float64), int(found.mask_PN.sum())
    for at in places:
        for part in plain_losses(model, found, targets, at):
            total = total + part / n_tokens
    total.backward()
    assert n_terms == n_tokens
    assert (policy_sum + 0.1 * value_sum) / n_tokens == pytest.approx(float(total), rel=1e-5)
    theirs = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    error, where = worst_gradient_error({name: ours[name] for name in theirs}, theirs)
    assert error < 1e-4, where


def plain_losses(
    model: nn.Module, found: rollouts.Rollouts, targets: tuple[Tensor, ...], at: int
) -> Iterator[Tensor]:
    """The terms of one answer's tokens, with full logits and no packing."""
    answer = found.answers[at]
    ids, first = answer.prefix + answer.chosen, len(answer.prefix)
    new = logps(model, ids)[first:]
    lm: Any = model
    states = lm.model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
    values = states[first - 1 : -1] @ lm.value_head.weight[0]
    for t in range(len(answer.chosen)):
        advantage, old = targets[0][at, t], found.values_PN[at, t]
        ratio = torch.exp(new[t] - found.logps_PN[at, t])
        yield -torch.minimum(ratio * advantage, ratio.clamp(0.95, 1.05) * advantage)
        kept = torch.maximum(torch.minimum(values[t], old + 0.2), old - 0.2)
        aim = targets[1][at, t]
        yield 0.1 * 0.5 * torch.maximum((values[t] - aim) ** 2, (kept - aim) ** 2)


def test_an_answer_of_rloo_counts_whole_against_the_others_to_its_prompt(
    in_memory: Callable[..., train.Run],
) -> None:
    """A minibatch after a step, against a plain computation in fp64."""
    run = in_memory(
        type="rloo", tuning="full", learning_rate=0.01, minibatch_size=9, ppo_epochs=1,
        batch_size=3, answers_per_prompt=3, kl_weight=0.5, cut_off_penalty=0.0,
    )  # fmt: skip
    learner = run.learner
    assert isinstance(learner, RlooLearner)
    examples = [example for example in run._examples(1) for _ in range(3)]
    answers = learner.actor.answers(examples, [str(n) for n in range(9)])
    assert answers is not None
    places = list(range(9))
    run.step()
    moved = learner.actor.measure(answers, [places])
    found = replace(moved, logps_PN=moved.reference_PN)  # as before the step
    sums = learner.backward(moved, learner.targets(moved), places)
    assert sums[0] == pytest.approx(0, abs=1e-5)  # ratios of 1, and advantages sum to 0
    for master in run.strategy.masters:
        assert master.grad is not None
        master.grad.zero_()
    policy_sum, _, n_clipped, n_terms = learner.backward(
        found, learner.targets(found), places
    ).tolist()
    ours = {name: master.grad.clone() for name, master in run.strategy.masters.by_name.items()}  # pyright: ignore[reportOptionalMemberAccess]
    model: Any = run.policy.double()
    for parameter in model.parameters():
        parameter.grad = None
    scores = [float(score) for score in learner.scores(found)]
    parts, clips = [], 0
    for at, answer in enumerate(answers):
        others = [scores[n] for n in places if n // 3 == at // 3 and n != at]
        advantage = scores[at] - sum(others) / 2  # the base's own answers have no penalty
        new = logps(model, answer.prefix + answer.chosen)[len(answer.prefix) :].sum()
        ratio = torch.exp(new - found.reference_PN[at].sum())
        plain, bounded = ratio * advantage, ratio.clamp(0.8, 1.2) * advantage
        clips += int(bounded < plain)
        parts.append(-torch.minimum(plain, bounded))
    total = torch.stack(parts).sum() / 9
    total.backward()
    assert (n_terms, n_clipped) == (9, clips)
    assert policy_sum / 9 == pytest.approx(float(total.detach()), rel=1e-4)
    theirs = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    error, where = worst_gradient_error({name: ours[name] for name in theirs}, theirs)
    assert error < 1e-4, where


@pytest.mark.parametrize("kind", ["ppo", "rloo"])
def test_a_run_raises_the_rewards_of_held_out_prompts(bench: Bench, kind: str) -> None:
    run = bench.run(
        "run",
        **SETTINGS | {
            "type": kind,
            "tuning": "full", "batch_size": 16, "minibatch_size": 4, "max_steps": 8,
            "eval_every": 8, "learning_rate": 2e-2, "checkpoint_every": 8, "held_out_fraction": 0.5,
        },
    )  # fmt: skip
    before, after = numbers(run)[0, "held_out"], numbers(run)[8, "held_out"]
    assert before["kl"] == pytest.approx(0, abs=1e-5)
    assert after["reward/mean"] > before["reward/mean"] + before["reward/sd"]
    assert after["loss"] == -after["reward/mean"]
    first, last = numbers(run)[1, "train"], numbers(run)[8, "train"]
    assert first["kl"] == pytest.approx(0, abs=1e-5)
    assert last["kl"] > 0
    assert last["kl_weight"] != first["kl_weight"] == pytest.approx(0.1)
    assert {"entropy", "clip_share", "lengths/answer", "cut_off_share"} <= last.keys()
    assert ("loss/value" in last) is (kind == "ppo")


@pytest.mark.parametrize("kind", ["ppo", "rloo"])
def test_two_processes_make_the_steps_of_one(bench: Bench, kind: str) -> None:
    settings = SETTINGS | {"type": kind, "tuning": "full", "learning_rate": 1e-3, "max_steps": 2}
    one = bench.run("one", **settings)
    two = bench.spec("two", **settings, **tiny_run.spread_over("ddp"))
    assert tiny_run.join(tiny_run.fork_ranks(two, 2, use_scored)) == [0, 0]
    assert_near(checkpoint(one, 2), checkpoint(two, 2))
    ours, theirs = numbers(one)[2, "held_out"], numbers(two)[2, "held_out"]
    for name in ("reward/mean", "kl", "entropy", "lengths/answer"):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-4), name


def test_the_time_of_a_step_is_split(bench: Bench) -> None:
    run = bench.run("run", **SETTINGS | {"max_steps": 1})
    (values,) = (r["values"] for r in records(run, "metrics") if r["split"] == "train")
    shares = [values[f"share/{phase}"] for phase in ("generation", "scoring", "update")]
    assert all(share > 0 for share in shares)
    assert "share/forward" not in values


@pytest.mark.parametrize(("kind", "tuning"), [("ppo", "lora"), ("ppo", "full"), ("rloo", "lora")])
def test_a_resumed_run_has_the_same_bits(bench: Bench, kind: str, tuning: str) -> None:
    settings = SETTINGS | {"type": kind, "tuning": tuning}
    whole = bench.run("whole", **settings)
    resumed = bench.run("resumed", resume_from=checkpoint(whole, 2), **settings)
    assert_same(checkpoint(whole, 3), checkpoint(resumed, 3))
    assert numbers(whole, after=2) == numbers(resumed, after=2)


def test_a_run_that_is_stopped_within_a_step_keeps_the_weights_before_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = SETTINGS | {"checkpoint_every": 2}
    whole = bench.run("whole", **settings)
    calls, backward = [], PpoLearner.backward

    def stopping(self: PpoLearner, *arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 6 + 4:  # in the second step
            self.actor.stopping.requested = True
        return backward(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(PpoLearner, "backward", stopping)
        stopped = bench.spec("stopped", **settings)
        assert train.main(stopped) == 75
    resumed = bench.run("resumed", resume_from=checkpoint(stopped, 1), **settings)
    assert_same(checkpoint(resumed, 3), checkpoint(whole, 3))


def test_a_run_that_leaves_its_base_too_far_ends_with_the_reason(bench: Bench) -> None:
    settings = SETTINGS | {
        "tuning": "full", "learning_rate": 0.03, "kl_limit": 1.0, "kl_target": 0.5, "max_steps": 6,
    }  # fmt: skip
    run = bench.spec("far", **settings)
    assert train.main(run) == 10
    last = records(run, "events")[-1]
    assert last["type"] == "error"
    assert last["data"]["code"] == "diverged"
    assert last["data"]["param"] == "kl_limit"
    assert "above kl_limit = 1" in last["message"]
    assert checkpoint(run, 1).is_dir()


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_the_value_head_is_in_the_state_but_not_in_the_weights(bench: Bench, tuning: str) -> None:
    saved = checkpoint(bench.run("run", **SETTINGS | {"tuning": tuning, "max_steps": 2}), 2)
    heads = [name for name in state(saved) if name.startswith("weight/") and "value_head" in name]
    assert len(heads) == 1
    assert state(saved)[heads[0]].any()
    weights = next(saved.glob("*/*model.safetensors"))
    assert not any("value_head" in name for name in load_file(weights))
    if tuning == "full":
        policy.load_base(Path(weights).parent, None)
