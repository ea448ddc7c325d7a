"""From scores and log-probs of generated answers to advantages and returns of their tokens.

Knows no model and no update. Everything is fp64, without gradients.

Shapes: P answers, N tokens of the longest one, G prompts, K answers to each prompt. `mask_PN` is
True at an answer's tokens, which are its first ones.
"""

import torch
from torch import Tensor

LARGEST_ERROR = 0.2  # to which the KL controller clips (arXiv 1909.08593, section 2.2)
TINY = 1e-8  # added to a variance


def token_rewards(
    scores_P: Tensor, logps_PN: Tensor, reference_PN: Tensor, mask_PN: Tensor, kl_weight: float
) -> Tensor:
    """The reward of each token, [P, N]: -kl_weight * (log pi - log pi_ref), and at the last token
    also the answer's score (arXiv 1909.08593, equation 2). A token that the policy makes likelier
    than the reference does has a negative reward.
    """
    rewards_PN = -kl_weight * (logps_PN - reference_PN) * mask_PN
    last_P = mask_PN.sum(1) - 1
    rewards_PN[torch.arange(len(scores_P)), last_P] += scores_P
    return rewards_PN


def kl_of_answers(logps_PN: Tensor, reference_PN: Tensor, mask_PN: Tensor) -> Tensor:
    """log pi(y|x) - log pi_ref(y|x) of each answer in nats, [P]; its mean over answers of pi
    estimates the KL divergence.
    """
    return ((logps_PN - reference_PN) * mask_PN).sum(1)


def advantages(
    rewards_PN: Tensor, values_PN: Tensor, mask_PN: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Generalised advantage estimates, [P, N] (arXiv 1506.02438, equation 16); 0 after the end.

    A_t = sum over k of (gamma * lambda)^k * delta_(t+k), with delta_t = r_t + gamma * V_(t+1) -
    V_t. The value after an answer's last token is 0.
    """
    found_PN = torch.zeros_like(rewards_PN)
    later_P = next_P = torch.zeros_like(rewards_PN[:, 0])
    for t in reversed(range(rewards_PN.shape[1])):
        delta_P = rewards_PN[:, t] + gamma * next_P - values_PN[:, t]
        later_P = (delta_P + gamma * gae_lambda * later_P) * mask_PN[:, t]
        next_P = values_PN[:, t] * mask_PN[:, t]
        found_PN[:, t] = later_P
    return found_PN


def leave_one_out(rewards_P: Tensor, n_answers: int) -> Tensor:
    """Each answer's reward minus the mean of the other answers to its prompt, [P] (arXiv
    2402.14740, equation 8). The K = `n_answers` answers to a prompt follow each other; K > 1.
    """
    rewards_GK = rewards_P.view(-1, n_answers)
    others_GK = (rewards_GK.sum(1, keepdim=True) - rewards_GK) / (n_answers - 1)
    return (rewards_GK - others_GK).reshape(-1)


def whiten(values_PN: Tensor, mask_PN: Tensor) -> Tensor:
    """The values shifted and scaled to mean 0 and variance 1 over the tokens of the mask; 0 outside
    it.
    """
    tokens = values_PN[mask_PN]
    mean, variance = tokens.mean(), tokens.var(correction=0)
    return (values_PN - mean) * torch.rsqrt(variance + TINY) * mask_PN


def normalise(scores_P: Tensor) -> Tensor:
    """Scores with mean 0 and standard deviation 1; all 0 where they are equal."""
    centred_P = scores_P - scores_P.mean()
    return centred_P * torch.rsqrt(centred_P.square().mean() + TINY)


def next_kl_weight(weight: float, kl: float, n_answers: int, target: float, horizon: int) -> float:
    """The weight of the KL penalty after a step of `n_answers` answers with a mean KL of `kl` nats
    (arXiv 1909.08593, section 2.2): raised if the KL is above its target, by at most 20 % in
    `horizon` answers, and lowered if it is below.
    """
    error = min(max(kl / target - 1, -LARGEST_ERROR), LARGEST_ERROR)
    return weight * (1 + error * n_answers / horizon)
