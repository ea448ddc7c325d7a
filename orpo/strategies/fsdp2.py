"""`fsdp2`: weights, gradients and moments sharded over the ranks by torch's `fully_shard`.

Each decoder layer is gathered while it computes; embeddings, norm and head are gathered while the
model computes. The fp32 shards are the masters; they are gathered in the compute precision. Knows
nothing of DeepSpeed.
"""

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from orpo.model.masters import Masters
from orpo.model.policy import DTYPES, causal_lm, layers, trainable
from orpo.model.score_head import has_score, score_head
from orpo.process.parallel import WrongWorld
from orpo.strategies.optimizer import make
from orpo.strategies.strategy import Root, Sharded


class Fsdp2(Sharded):
    """The strategy `fsdp2` (torch.distributed.fsdp, per-parameter sharding)."""

    def _take_over(self) -> None:
        mesh = init_device_mesh(self.group.device.type, (self.group.world,))
        precision = MixedPrecisionPolicy(
            param_dtype=DTYPES[self.method.precision],
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )
        self.root = Root(self.policy)
        lm = causal_lm(self.policy)
        if has_score(lm):
            exact = MixedPrecisionPolicy(param_dtype=torch.float32, cast_forward_inputs=False)
            fully_shard(score_head(lm), mesh=mesh, mp_policy=exact)
        for module in (*layers(self.policy), self.root):
            fully_shard(module, mesh=mesh, mp_policy=precision)
        for module in self.root.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sum
        if not all(isinstance(p, DTensor) for p in self.root.parameters()):
            raise WrongWorld("fsdp2 was requested, but some weights were not sharded.")
        self.masters = Masters(trainable(self.policy).items())
        self.optimizer = make(self.masters, self.method)

    def __call__(self, compute: Any, *args: Any, **kwargs: Any) -> Any:
        return self.root(compute, *args, **kwargs)

    def _sum_gradients(self) -> None:
        """Nothing to do: FSDP2 has summed them already."""
