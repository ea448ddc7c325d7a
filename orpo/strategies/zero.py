"""`zero2` and `zero3`: DeepSpeed shards moments and gradients (2), and weights too (3), over ranks.

DeepSpeed owns masters, clipping and the update; this module adapts it to `Replicated`. Its
checkpoints are not used: ours are read and written through its functions for whole tensors, so a
run can be resumed under another strategy. Knows nothing of FSDP2.
"""

import os
import warnings
from typing import Any

import torch
from torch import Tensor

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Precision, Strategy
from orpo.contract.rundir import LOCAL_RANK
from orpo.model.policy import causal_lm, head, trainable
from orpo.process.parallel import WrongWorld
from orpo.strategies.optimizer import parameter_groups, peak_rate, set_rate
from orpo.strategies.strategy import Root, Sharded

MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, the only supported optimizer
STAGES = {Strategy.ZERO2: 2, Strategy.ZERO3: 3}


class Zero(Sharded):
    """The strategies `zero2` and `zero3` (DeepSpeed, arXiv 1910.02054)."""

    def _take_over(self) -> None:
        if self.group.device.type == "cpu":
            os.environ["DS_ACCELERATOR"] = "cpu"
        os.environ.setdefault(LOCAL_RANK, "0")  # DeepSpeed needs it, even for one process
        deepspeed = _deepspeed()
        stage = STAGES[self.method.strategy]
        self.by_name = trainable(self.policy)
        optimizer = torch.optim.AdamW(
            parameter_groups(self.by_name.values(), self.method), lr=peak_rate(self.method)
        )
        exact = {
            name: weight.detach().to("cpu", copy=True) for name, weight in self.by_name.items()
        }
        root = Root(self.policy)
        # The head's weights are read without its forward, and after the embeddings have released
        # them.
        last = head(causal_lm(self.policy))
        for weight in last.parameters():
            deepspeed.zero.register_external_parameter(root, weight)
        self.engine, *_ = deepspeed.initialize(
            model=root, optimizer=optimizer, config=self._config(stage), dist_init_required=False
        )
        if self.engine.zero_optimization_stage() != stage:
            raise WrongWorld(f"ZeRO stage {stage} was requested, but another stage runs.")
        # The head is called once for each tile, and the number of tiles differs between ranks, so
        # its hooks must not gather.
        for hooks in (last._forward_hooks, last._forward_pre_hooks):  # noqa: SLF001
            hooks.clear()
        self.optimizer = self.engine.optimizer
        self._make_states(stage)
        # DeepSpeed has created its masters from weights that it had rounded to the compute
        # precision.
        for name, weight in exact.items():
            self._set(self.by_name[name], weight, None)

    def _config(self, stage: int) -> dict[str, Any]:
        return {
            "train_micro_batch_size_per_gpu": 1,  # unused: batches are packed by us
            "gradient_accumulation_steps": 1,
            "gradient_clipping": self.method.max_grad_norm,
            "bf16": {"enabled": self.method.precision is Precision.BF16},
            "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": 0},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "communication_data_type": "fp32",
            "data_types": {"grad_accum_dtype": "fp32"},
        }

    def __call__(self, compute: Any, *args: Any, **kwargs: Any) -> Any:
        return self.engine(compute, *args, **kwargs)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss * self.group.world)  # DeepSpeed averages over ranks; we sum

    def step(self, rate: float) -> float:
        set_rate(self.optimizer, rate)
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    def tensors(self) -> dict[str, Tensor]:
        from deepspeed.utils import (  # noqa: PLC0415
            safe_get_full_fp32_param,
            safe_get_full_optimizer_state,
        )

        found = {}
        for name, parameter in self.by_name.items():
            wholes: dict[str, Any] = {"weight": safe_get_full_fp32_param(parameter)}
            for moment in MOMENTS:
                wholes[moment] = safe_get_full_optimizer_state(parameter, moment)
            if self.group.leads:
                found |= {f"{kind}/{name}": w.to("cpu", copy=True) for kind, w in wholes.items()}
                found[f"step/{name}"] = torch.tensor(float(self._steps()))
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        import deepspeed  # noqa: PLC0415

        for name, parameter in self.by_name.items():
            weight = tensors[f"weight/{name}"]
            with deepspeed.zero.GatheredParameters(parameter, modifier_rank=0), torch.no_grad():
                parameter.copy_(weight)
            self._set(parameter, weight, None)
            for moment in MOMENTS:
                self._set(parameter, tensors[f"{moment}/{name}"], moment)
        for state in self._states():
            state["step"].fill_(float(tensors[f"step/{next(iter(self.by_name))}"]))

    def held_bytes(self) -> dict[str, int]:
        """DeepSpeed's masters and moments are flat partitions; gradients are partitioned as the
        masters are.
        """
        parts = list(self.optimizer.optimizer.state)
        weights = [getattr(p, "ds_tensor", p) for p in self.policy.parameters()]
        return {
            "weights": sum(t.nbytes for t in (*weights, *parts)),
            "gradients": sum(part.nbytes for part in parts),
            "optimizer": sum(t.nbytes for state in self._states() for t in state.values()),
        }

    def _set(self, parameter: torch.nn.Parameter, whole: Tensor, moment: str | None) -> None:
        """Set this rank's part of the master, or of a moment, from a whole tensor."""
        if not hasattr(parameter, "ds_tensor"):  # zero2
            parameter.set_full_hp_param(whole, moment)  # pyright: ignore[reportAttributeAccessIssue]
            return
        size = parameter.ds_tensor.numel()  # pyright: ignore[reportAttributeAccessIssue]
        padded = torch.nn.functional.pad(
            whole.flatten(), (0, size * self.group.world - whole.numel())
        )
        part = padded[size * self.group.rank :][:size].to(self.group.device)
        self.optimizer.set_local_hp_param(part, parameter, moment)

    def _states(self) -> list[dict[str, Tensor]]:
        return list(self.optimizer.optimizer.state.values())

    def _steps(self) -> int:
        return int(self._states()[0]["step"])

    def _make_states(self, stage: int) -> None:
        """AdamW creates its moments at its first step. A resumed run needs them earlier. ZeRO 2
        does too: it expects those of all parameter groups after the first group's step.
        """
        flat = "fp32_partitioned_groups_flat" if stage == 3 else "single_partition_of_fp32_groups"
        for partition in getattr(self.optimizer, flat):
            self.optimizer.optimizer.state[partition] = {
                "step": torch.tensor(0.0),
                **{m: torch.zeros_like(partition) for m in MOMENTS},
            }
        if stage == 2:
            self.optimizer._lazy_init_hp_params_optimizer_state()  # noqa: SLF001


def _deepspeed() -> Any:
    try:
        import deepspeed  # noqa: PLC0415
    except ImportError:
        raise Failure(
            Code.BAD_SPEC,
            "zero2 and zero3 need DeepSpeed, which is not installed where jobs are trained.",
            "Install deepspeed there, or choose fsdp2.",
            "method.strategy",
        ) from None
    # Warnings of DeepSpeed's own code, which uses old names of torch.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    # It compiles for a minute, and helps only inference on CPUs.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
