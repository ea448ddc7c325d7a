"""The value head of PPO on the policy's trunk, and the policy with its adapter off.

The head is one number for each hidden state: the expected return from the next token on. It starts
at zero. A checkpoint's state holds it; the weights for users do not.

Shapes: L labelled tokens, D hidden size.
"""

import contextlib
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Precision
from orpo.layers.peft import PeftModel
from orpo.model.policy import Policy, autocast, causal_lm, head, head_logps, labelled_states
from orpo.tokens.pack import Batch

NAME = "value_head"


def attach(policy: Policy) -> None:
    """Give the policy a value head, fp32 [1, D], all zeros. Call it after adapters were added: they
    would adapt it.
    """
    lm = causal_lm(policy)
    made = nn.Linear(head(lm).in_features, 1, bias=False, dtype=torch.float32)
    nn.init.zeros_(made.weight)
    setattr(lm, NAME, made.to(head(lm).weight.device))


def check_temperature(policy: Policy, temperature: float) -> None:
    """Raise Failure(`bad_spec`) if dividing the hidden states does not divide the logits."""
    lm = causal_lm(policy)
    capped = getattr(lm.config.get_text_config(), "final_logit_softcapping", None)
    if temperature != 1 and (capped or head(lm).bias is not None):
        raise Failure(
            Code.BAD_SPEC,
            f"The logits of {type(lm).__name__} are not proportional to its hidden states, so no "
            "temperature but 1 can be trained at.",
            "Set temperature to 1.",
            "method.temperature",
        )


def logps(policy: Policy, batch: Batch, precision: Precision, temperature: float = 1) -> Tensor:
    """log P of each labelled token at a temperature, fp32, [L]."""
    lm = causal_lm(policy)
    with autocast(lm, precision):
        return head_logps(lm, labelled_states(lm, batch) / temperature, batch.target_L)


def logps_and_values(
    policy: Policy, batch: Batch, precision: Precision, temperature: float = 1
) -> tuple[Tensor, Tensor]:
    """log P of each labelled token at a temperature, and the value before it; fp32, [L] each.

    The values are zeros if the policy has no value head.
    """
    lm = causal_lm(policy)
    with autocast(lm, precision):
        states_LD = labelled_states(lm, batch)
        logps_L = head_logps(lm, states_LD / temperature, batch.target_L)
    made = cast("nn.Linear | None", getattr(lm, NAME, None))
    if made is None:
        return logps_L, torch.zeros_like(logps_L)
    return logps_L, F.linear(states_LD.float(), made.weight.float())[:, 0]


def without_adapter(policy: Policy) -> contextlib.AbstractContextManager:
    """The untrained policy for a while, if it is trained through an adapter."""
    if isinstance(policy, PeftModel):
        return policy.disable_adapter()
    return contextlib.nullcontext()
