"""The objectives as in the papers, in fp64: two forward passes per pair, full logits, no packing,
no shared prefix, no tiles. Slow on purpose; imports none of the code that it tests.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Row(NamedTuple):
    """A pair as two whole sequences. `*_answer` marks response tokens, `nll` tokens of the NLL."""

    chosen: list[int]
    chosen_answer: list[bool]
    nll: list[bool]
    rejected: list[int]
    rejected_answer: list[bool]
    reference: tuple[float, float] = (0.0, 0.0)


def logps(model: nn.Module, ids: list[int]) -> Tensor:
    """log P of each token given those before it; 0 for the first token."""
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    each = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return torch.cat((each.new_zeros(1), each))


def log_odds(logp: Tensor) -> Tensor:
    """log p - log(1 - p), computed literally."""
    return logp - torch.log(1 - torch.exp(logp))


def sigmoid_loss(x: Tensor) -> Tensor:
    """-log sigmoid(x), computed literally."""
    return -torch.log(1 / (1 + torch.exp(-x)))


def preference(method: dict[str, Any], row: Row, chosen: Tensor, rejected: Tensor) -> Tensor:
    """The method's preference term, from the log-probs of both answers' tokens."""
    match method["type"]:
        case "orpo":
            return method["lambda"] * sigmoid_loss(
                log_odds(chosen.mean()) - log_odds(rejected.mean())
            )
        case "probability_ratio":
            return method["lambda"] * sigmoid_loss(chosen.mean() - rejected.mean())
        case "simpo":
            margin = method["beta"] * (chosen.mean() - rejected.mean()) - method["gamma"]
            return sigmoid_loss(margin)
        case "dpo":
            of_chosen, of_rejected = row.reference
            gain = (chosen.sum() - of_chosen) - (rejected.sum() - of_rejected)
            return sigmoid_loss(method["beta"] * gain)
    raise ValueError(method["type"])


def loss(model: nn.Module, rows: Sequence[Row], method: dict[str, Any]) -> Tensor:
    """NLL and the method's term over all rows; `method` has the settings by name."""
    nll, tokens, terms = [], 0, []
    by_sequence = method["nll_reduction"] == "sequence"
    for row in rows:
        chosen = logps(model, row.chosen)
        of_nll = torch.tensor(row.nll)
        nll.append(-chosen[of_nll].mean() if by_sequence else -chosen[of_nll].sum())
        tokens += int(of_nll.sum())
        if method["type"] != "supervised":
            rejected = logps(model, row.rejected)
            answers = (
                chosen[torch.tensor(row.chosen_answer)],
                rejected[torch.tensor(row.rejected_answer)],
            )
            terms.append(preference(method, row, *answers))
    total = torch.stack(nll).sum() / (len(rows) if by_sequence else tokens)
    return method.get("nll_weight", 1) * total + (torch.stack(terms).mean() if terms else 0)


def reward(model: Any, ids: list[int]) -> Tensor:
    """The score of one whole sequence at its last token."""
    states = model.base_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state
    return model.score(states[0, -1].double())[0]


def reward_loss(model: Any, rows: Sequence[Row], center: float) -> Tensor:
    """The mean over pairs of -log sigmoid(r_c - r_r) + center * (r_c + r_r)^2."""
    terms = []
    for row in rows:
        chosen, rejected = reward(model, row.chosen), reward(model, row.rejected)
        terms.append(sigmoid_loss(chosen - rejected) + center * (chosen + rejected) ** 2)
    return torch.stack(terms).mean()


def worst_gradient_error(
    gradients: dict[str, Tensor], expected: dict[str, Tensor]
) -> tuple[float, str]:
    """max over tensors of ||d|| / max(||g||, 1e-3 * ||G||), and the name of that tensor."""
    whole = math.sqrt(sum(float(g.double().norm()) ** 2 for g in expected.values()))
    errors = {
        name: float((gradients[name].double() - g).norm()) / max(float(g.norm()), 1e-3 * whole)
        for name, g in expected.items()
    }
    where = max(errors, key=lambda name: errors[name])
    return errors[where], where
