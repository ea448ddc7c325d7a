"""Log-probs at a temperature, values, and the untrained policy: the passes of on-policy methods.

Knows the policy; knows nothing of the objective or of answers.

Shapes: L labelled tokens, D hidden size.
"""

import contextlib

import torch
from torch import Tensor
from transformers import PreTrainedModel

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Precision
from orpo.layers.peft import PeftModel
from orpo.model import value_head
from orpo.model.policy import Policy, autocast, causal_lm, head, head_logps, hidden_states
from orpo.tokens.pack import Batch


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
        return head_logps(lm, _states(lm, batch) / temperature, batch.target_L)


def logps_and_values(
    policy: Policy, batch: Batch, precision: Precision, temperature: float = 1
) -> tuple[Tensor, Tensor]:
    """log P of each labelled token at a temperature, and the value before it; fp32, [L] each.

    The values are zeros if the policy has no value head.
    """
    lm = causal_lm(policy)
    with autocast(lm, precision):
        states_LD = _states(lm, batch)
        logps_L = head_logps(lm, states_LD / temperature, batch.target_L)
    made = value_head.of(lm)
    if made is None:
        return logps_L, torch.zeros_like(logps_L)
    with torch.autocast(lm.device.type, enabled=False):
        return logps_L, made(states_LD.float())[:, 0]


def without_adapter(policy: Policy) -> contextlib.AbstractContextManager:
    """The untrained policy for a while, if it is trained through an adapter."""
    if isinstance(policy, PeftModel):
        return policy.disable_adapter()
    return contextlib.nullcontext()


def _states(lm: PreTrainedModel, batch: Batch) -> Tensor:
    return hidden_states(lm, batch, batch.predictor_L, batch.sequence_L)
