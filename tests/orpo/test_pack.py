"""Steps, micro-batches and the packed layout."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orpo.contract.hyperparameters import NllTokens
from orpo.contract.methods import parse_method
from orpo.process.parallel import Single
from orpo.tokens.pack import Batch, collate, heaviest, micro_batches, plan
from orpo.tokens.tokenize import Example
from orpo.tokens.work import token_budget
from tests.orpo import tiny_models

TWO = Example(
    line=1,
    prefix=[10, 11, 12],
    chosen=[20, 21],
    rejected=[30],
    prefix_mask=[False, True, False],
    chosen_mask=[True, True],
    rejected_mask=[True],
    truncated=False,
)


def labels(batch: Batch) -> list[tuple[int, int, int, bool, bool]]:
    """For each label: (predicting token, its position, target, in answer, in NLL)."""
    ids, positions = batch.input_ids_T, batch.position_ids_T
    return [
        (int(ids[at]), int(positions[at]), int(target), bool(answer), bool(nll))
        for at, target, answer, nll in zip(
            batch.predictor_L, batch.target_L, batch.in_answer_L, batch.in_nll_L, strict=True
        )
    ]


CHOSEN = [(12, 2, 20, True, True), (20, 3, 21, True, True)]
REJECTED = [(12, 2, 30, True, False)]
EARLIER_TURN = [(10, 0, 11, False, True)]


def test_layout_of_a_shared_pair():
    batch = collate([TWO], prefix_sharing=True)
    assert batch.input_ids_T.tolist() == [10, 11, 12, 20, 21, 30]
    assert batch.position_ids_T.tolist() == [0, 1, 2, 3, 4, 3]
    assert labels(batch) == EARLIER_TURN + CHOSEN + REJECTED
    assert [segment.contiguous for segment in batch.segments] == [True, False]


def test_layout_of_an_unshared_pair():
    batch = collate([TWO], prefix_sharing=False)
    assert batch.input_ids_T.tolist() == [10, 11, 12, 20, 21, 10, 11, 12, 30]
    assert batch.position_ids_T.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert labels(batch) == EARLIER_TURN + CHOSEN + REJECTED


def test_full_likelihood_covers_all_but_the_first_token():
    batch = collate([TWO], prefix_sharing=True, nll_tokens=NllTokens.FULL)
    assert int(batch.in_nll_L.sum()) == len(TWO.prefix) + len(TWO.chosen) - 1
    assert [label for label in labels(batch) if label[3]] == CHOSEN + REJECTED


def test_supervised_leaves_the_rejected_side_out():
    batch = collate([TWO, TWO], prefix_sharing=True, rejected=False)
    assert not batch.has_rejected
    assert set(batch.sequence_L.tolist()) == {0, 2}
    assert 30 not in batch.input_ids_T
    assert len(batch.input_ids_T) == 2 * TWO.n_computed(rejected=False) == 10


def test_single_answers_and_pairs_do_not_mix():
    single = replace(TWO, rejected=None, rejected_mask=[])
    assert not collate([single], prefix_sharing=True).has_rejected
    with pytest.raises(ValueError, match="apart"):
        collate([TWO, single], prefix_sharing=True)


@given(n=st.integers(1, 60), size=st.integers(1, 20), seed=st.integers(0, 99))
def test_a_plan_visits_every_example_once(n: int, size: int, seed: int):
    steps = plan(range(n), size, seed, epoch=3)
    assert sorted(at for step in steps for at in step) == list(range(n))
    assert all(len(step) == size for step in steps[:-1])
    assert steps == plan(range(n), size, seed, epoch=3)


def test_epochs_and_seeds_shuffle_apart():
    alike = [1] * 50
    assert plan(alike, 50, 0, 0) != plan(alike, 50, 0, 1)
    assert plan(alike, 50, 0, 0) != plan(alike, 50, 1, 0)


@given(
    tokens=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    size=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_the_first_epoch_begins_with_the_longest_example_and_then_with_most_tokens(
    tokens: list[int], size: int, seed: int
) -> None:
    steps = plan(tokens, size, seed, epoch=0)
    assert max(tokens[at] for at in steps[0]) == max(tokens)
    sums = [sum(tokens[at] for at in step) for step in steps]
    assert max(sums[:2]) == max(sums)
    assert sorted(at for step in steps for at in step) == list(range(len(tokens)))
    assert heaviest(tokens, steps) == steps[: 1 + (sums[0] < max(sums))]


@settings(max_examples=50)
@given(
    seed=st.integers(0, 999), n=st.integers(1, 12), budget=st.integers(8, 150), share=st.booleans()
)
def test_micro_batches_keep_the_budget(seed: int, n: int, budget: int, share: bool):
    examples = tiny_models.examples(seed, n)
    groups = micro_batches(examples, budget, share)
    assert sorted(at for group in groups for at in group) == list(range(n))
    for group in groups:
        size = len(collate([examples[at] for at in group], share).input_ids_T)
        assert size == sum(examples[at].n_computed(rejected=True, shared=share) for at in group)
        assert size <= budget or len(group) == 1


@pytest.mark.parametrize(("has_amx", "tokens"), [(True, 2048), (False, 1024)])
def test_a_cpu_with_amx_computes_more_tokens_at_once(
    monkeypatch: pytest.MonkeyPatch, has_amx: bool, tokens: int
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has_amx})
    method = parse_method("orpo", {})
    assert token_budget(method, Single()) == tokens
    assert token_budget(parse_method("orpo", {"token_budget": 96}), Single()) == 96
