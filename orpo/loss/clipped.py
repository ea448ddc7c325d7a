"""The clipped losses of an update on generated answers, and what they log.

Knows no model and no sampling. As in `loss.py`, numerators are sums and the denominator is counted
over the whole minibatch and passed in, so the gradient does not depend on how it was cut up.

Shapes: L tokens of answers, or answers where a ratio is that of a whole answer.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Terms(NamedTuple):
    """Terms of a loss, and 1 where clipping decided one, [L] each."""

    loss_L: Tensor
    clipped_L: Tensor


def policy_terms(logps_L: Tensor, old_L: Tensor, advantages_L: Tensor, clip: float) -> Terms:
    """-min(rho * A, clamp(rho, 1 - clip, 1 + clip) * A), with rho = pi / pi_old (arXiv 1707.06347,
    equation 7).
    """
    ratio_L = torch.exp(logps_L.double() - old_L)
    plain_L = -advantages_L * ratio_L
    bounded_L = -advantages_L * ratio_L.clamp(1 - clip, 1 + clip)
    return Terms(torch.maximum(plain_L, bounded_L), (bounded_L > plain_L).double())


def value_terms(values_L: Tensor, old_L: Tensor, returns_L: Tensor, clip: float) -> Terms:
    """Half the squared error of the value head, or of its value kept within `clip` of the old one
    if that is larger.
    """
    values_L = values_L.double()
    bounded_L = old_L + (values_L - old_L).clamp(-clip, clip)
    plain_L, other_L = (values_L - returns_L).square(), (bounded_L - returns_L).square()
    return Terms(0.5 * torch.maximum(plain_L, other_L), (other_L > plain_L).double())


def entropy(old_L: Tensor) -> Tensor:
    """The policy's entropy in nats a token, estimated as -mean log pi of the tokens that it drew.

    The exact value would need the probability of every token of the vocabulary at each place.
    """
    return -old_L.mean()
