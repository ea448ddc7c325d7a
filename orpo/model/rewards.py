"""Rewards: the score of each sequence of a batch, at the token that ends its last turn.

Knows the policy; knows nothing of the objective or of files.

Shapes: S sequences of a batch, D hidden size.
"""

import torch
from torch import Tensor

from orpo.contract.hyperparameters import Precision
from orpo.model.policy import Policy, autocast, causal_lm, hidden_states
from orpo.model.score_head import score_head
from orpo.tokens.pack import Batch


def rewards(model: Policy, batch: Batch, precision: Precision) -> Tensor:
    """The reward of each sequence of `batch`, fp32, in the order of its segments, [S] with its
    graph where grad is on.

    One pass through the backbone, shared prefixes once; the score is fp32 in every precision.
    """
    lm = causal_lm(model)
    sequences = [segment.sequence for segment in batch.segments]
    sequence_S = torch.tensor(sequences, device=batch.input_ids_T.device)
    with autocast(lm, precision):
        states_SD = hidden_states(lm, batch, batch.ends_S, sequence_S)
    with torch.autocast(lm.device.type, enabled=False):
        # FSDP2 hooks into what a pass returns, which must be no view.
        return score_head(lm)(states_SD.float()).squeeze(1).clone()
