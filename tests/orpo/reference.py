"""The objective of arXiv 2403.07691 by the book, in fp64: two forwards a pair, full logits, no
packing, no shared prefix, no tiles. Slow on purpose; imports nothing of the code that it judges.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Row(NamedTuple):
    """A pair as two whole sequences. `*_answer` marks response tokens, `nll` the likelihood's."""

    chosen: list[int]
    chosen_answer: list[bool]
    nll: list[bool]
    rejected: list[int]
    rejected_answer: list[bool]


def logps(model: nn.Module, ids: list[int]) -> Tensor:
    """log P of each token given those before it; the first has none and gets 0."""
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    each = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return torch.cat((each.new_zeros(1), each))


def log_odds(logp: Tensor) -> Tensor:
    """log p - log(1 - p), as it is written."""
    return logp - torch.log(1 - torch.exp(logp))


def loss(
    model: nn.Module,
    rows: Sequence[Row],
    lambda_: float | None,
    reduction: str,
) -> Tensor:
    """NLL + lambda * L_OR over all rows; `lambda_` None leaves the odds ratio out."""
    nll, tokens, odds = [], 0, []
    for row in rows:
        chosen = logps(model, row.chosen)
        of_nll = torch.tensor(row.nll)
        nll.append(-chosen[of_nll].mean() if reduction == "sequence" else -chosen[of_nll].sum())
        tokens += int(of_nll.sum())
        if lambda_ is not None:
            rejected = logps(model, row.rejected)
            ratio = log_odds(chosen[torch.tensor(row.chosen_answer)].mean()) - log_odds(
                rejected[torch.tensor(row.rejected_answer)].mean()
            )
            odds.append(-torch.log(1 / (1 + torch.exp(-ratio))))
    total = torch.stack(nll).sum() / (len(rows) if reduction == "sequence" else tokens)
    return total + lambda_ * torch.stack(odds).mean() if lambda_ is not None else total


def worst_gradient_error(
    gradients: dict[str, Tensor], expected: dict[str, Tensor]
) -> tuple[float, str]:
    """max over tensors of ||d|| / max(||g||, 1e-3 * ||G||), and where it is."""
    whole = math.sqrt(sum(float(g.double().norm()) ** 2 for g in expected.values()))
    errors = {
        name: float((gradients[name].double() - g).norm()) / max(float(g.norm()), 1e-3 * whole)
        for name, g in expected.items()
    }
    where = max(errors, key=lambda name: errors[name])
    return errors[where], where
