"""Chooses the strategy that trains a policy; only this module knows all strategies.

Loads only the libraries of the chosen strategy.
"""

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Strategy
from orpo.contract.spec import RunSpec
from orpo.model.policy import Policy, trainable, why_unpacked
from orpo.process.parallel import Single, check_equal
from orpo.strategies.strategy import Replicated


def adopt(policy: Policy, spec: RunSpec, group: Single) -> Replicated:
    """Wrap the policy in the spec's strategy. Raises Failure if the two don't fit."""
    check_equal(group, trainable(policy).values())
    strategy = spec.method.strategy
    if strategy in (Strategy.SINGLE, Strategy.DDP):
        return Replicated(policy, spec, group)
    if problem := why_unpacked(policy):
        raise Failure(
            Code.BAD_SPEC,
            f"{strategy} needs a model whose sequences can be packed: {problem}.",
            "Choose ddp or single.",
            "method.strategy",
        )
    if strategy is Strategy.FSDP2:
        from orpo.strategies.fsdp2 import Fsdp2  # noqa: PLC0415  # torch.distributed: 1 s

        return Fsdp2(policy, spec, group)
    from orpo.strategies.zero import Zero  # noqa: PLC0415  # DeepSpeed need not be installed

    return Zero(policy, spec, group)
