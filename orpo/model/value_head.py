"""The value head of PPO on the policy's trunk.

It is one number for each hidden state: the expected return from the next token on. It starts at
zero. A checkpoint's state holds it; the weights for users do not. Knows nothing of passes.

Shapes: D hidden size.
"""

from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

NAME = "value_head"


def attach(lm: PreTrainedModel, size: int) -> None:
    """Give the model a value head, fp32 [1, D], all zeros. Call it after adapters were added: they
    would adapt it.
    """
    made = nn.Linear(size, 1, bias=False, dtype=torch.float32)
    nn.init.zeros_(made.weight)
    setattr(lm, NAME, made)


def of(lm: PreTrainedModel) -> nn.Linear | None:
    """The model's value head, if it has one."""
    return cast("nn.Linear | None", getattr(lm, NAME, None))
