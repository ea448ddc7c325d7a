"""Which strategy trains a policy: the one place that knows them all.

Loads only the libraries of the strategy that is chosen.
"""

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Strategy
from orpo.contract.spec import RunSpec
from orpo.model.policy import Policy, trainable, why_unpacked
from orpo.process.parallel import Single, check_equal
from orpo.strategies.strategy import Replicated


def adopt(policy: Policy, spec: RunSpec, group: Single) -> Replicated:
    """Bring the policy under the spec's strategy. Raises Failure where the two don't fit."""
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
        from orpo.strategies.fsdp2 import Fsdp2  # noqa: PLC0415  # 1 s of torch.distributed that others save

        return Fsdp2(policy, spec, group)
    from orpo.strategies.zero import Zero  # noqa: PLC0415  # DeepSpeed need not be installed

    return Zero(policy, spec, group)
