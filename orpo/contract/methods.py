"""What a run optimises: each method is its own hyperparameters and the loss of a pair.

loss = nll_weight * NLL(chosen) + mean over pairs of `preference`. Methods that train a policy on
answers of its own are in `on_policy.py`. To add a method, write its class here and name it in
`Method`; docs/architecture.md lists the other places to change. Importable without torch: the API
validates with these classes, and the losses call only methods of the tensors that they get.

Shapes: B pairs of a batch.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from orpo.contract.hyperparameters import Group, Hyperparameters, Strategy
from orpo.contract.on_policy import Ppo, Rloo

if TYPE_CHECKING:
    from torch import Tensor

    from orpo.contract.numbers import PairNumbers


class Supervised(Hyperparameters):
    """Plain fine-tuning on the chosen side, or on `messages` rows."""

    type: Literal["supervised"] = "supervised"
    label: ClassVar[str] = "Supervised, on the chosen answers alone"
    nll_weight: ClassVar[float] = 1.0
    contrasts: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False


class Preference(Hyperparameters):
    """A method that contrasts the two answers of a pair."""

    contrasts: ClassVar[bool] = True
    """Whether the loss uses rejected answers; otherwise they are not computed."""
    needs_reference: ClassVar[bool] = False
    """Whether the loss uses the log-probs of the policy before training."""

    @abstractmethod
    def preference(self, pairs: PairNumbers) -> Tensor:
        """The term that contrasts the answers, of each pair, [B]; its mean joins the loss."""


class Orpo(Preference):
    """L = NLL(chosen) + lambda * -log sigmoid(log OR), arXiv 2403.07691 section 4."""

    type: Literal["orpo"] = "orpo"
    label: ClassVar[str] = "ORPO, on pairs of a chosen and a rejected answer"
    lambda_: float = Field(
        default=0.1, ge=0, le=100, alias="lambda", description="Weight of the odds-ratio term."
    )
    nll_weight: ClassVar[float] = 1.0

    def preference(self, pairs: PairNumbers) -> Tensor:
        """lambda * L_OR (equation 6)."""
        return self.lambda_ * softplus(-pairs.log_odds_ratio)


class ProbabilityRatio(Preference):
    """ORPO's loss with the probability ratio in place of the odds ratio, for comparison.

    The paper argues against it (section 7.1): it pushes the rejected answer down too hard.
    """

    type: Literal["probability_ratio"] = "probability_ratio"
    label: ClassVar[str] = "Probability ratio, to compare with ORPO"
    lambda_: float = Field(
        default=0.1, ge=0, le=100, alias="lambda", description="Weight of the ratio's term."
    )
    nll_weight: ClassVar[float] = 1.0

    def preference(self, pairs: PairNumbers) -> Tensor:
        """lambda * -log sigmoid(log p(chosen) - log p(rejected)), both length-averaged."""
        return self.lambda_ * softplus(pairs.logps_rejected - pairs.logps_chosen)


class Dpo(Preference):
    """Direct preference optimisation against the untrained policy, arXiv 2305.18290."""

    type: Literal["dpo"] = "dpo"
    label: ClassVar[str] = "DPO, against the base model"
    beta: float = Field(
        default=0.1, gt=0, le=100, description="How closely the policy is held to its start."
    )
    nll_weight: float = Field(
        default=0.0, ge=0, le=100, description="Weight of the chosen side's likelihood in the loss."
    )
    needs_reference: ClassVar[bool] = True

    def preference(self, pairs: PairNumbers) -> Tensor:
        """-log sigmoid(beta * (gain of the chosen answer - gain of the rejected)), equation 7."""
        return softplus(-self.beta * (pairs.gain_chosen - pairs.gain_rejected))


class Simpo(Preference):
    """Length-averaged log-probs as the reward, with a target margin, arXiv 2405.14734."""

    type: Literal["simpo"] = "simpo"
    label: ClassVar[str] = "SimPO, with a target margin"
    beta: float = Field(default=2.0, gt=0, le=100, description="Scale of the reward.")
    gamma: float = Field(
        default=1.0, ge=0, le=100, description="Margin that the chosen answer's reward should have."
    )
    nll_weight: float = Field(
        default=0.0, ge=0, le=100, description="Weight of the chosen side's likelihood in the loss."
    )

    def preference(self, pairs: PairNumbers) -> Tensor:
        """-log sigmoid(beta * (log p(chosen) - log p(rejected)) - gamma), equation 6."""
        return softplus(self.gamma - self.beta * (pairs.logps_chosen - pairs.logps_rejected))


class Reward(Preference):
    """A Bradley-Terry reward model: one number that judges an answer, arXiv 2009.01325 section 3.4.

    It writes no text. It judges answers in evaluations, and is what `ppo` maximises.
    """

    type: Literal["reward"] = "reward"
    label: ClassVar[str] = "Reward model, to judge answers"
    scores: ClassVar[bool] = True
    nll_weight: ClassVar[float] = 0.0
    unused: ClassVar[frozenset[str]] = frozenset(
        ("turns", "nll_reduction", "nll_tokens", "n_samples", "sample_tokens")
    )
    center: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Weight of a term that keeps the rewards of a pair near zero: (chosen + "
        "rejected) squared. Without it, only their difference is decided.",
    )
    n_samples: Annotated[int, Group.MEASURING] = Field(
        default=0, ge=0, le=32, description="Not used: a reward model writes no text."
    )

    def preference(self, pairs: PairNumbers) -> Tensor:
        """-log sigmoid(r_c - r_r) + center * (r_c + r_r)^2."""
        margin_B = pairs.reward_chosen - pairs.reward_rejected
        loss_B = softplus(-margin_B)
        if self.center:  # arXiv 2312.09244 equation 2
            loss_B = loss_B + self.center * (pairs.reward_chosen + pairs.reward_rejected) ** 2
        return loss_B

    @field_validator("turns", "nll_reduction", "nll_tokens", "n_samples", "sample_tokens")
    @classmethod
    def _is_left_out(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        if value != cls.model_fields[name].default:
            raise ValueError(
                "a reward model reads one number at the end of an answer and writes no text. "
                f"Leave {name} out"
            )
        return value

    @field_validator("strategy")
    @classmethod
    def _head_stays_in_fp32(cls, value: Strategy) -> Strategy:
        if value in (Strategy.ZERO2, Strategy.ZERO3):
            raise ValueError(
                f"'{value}' computes with all weights in one precision, and the head of a reward "
                "model stays in fp32. Choose fsdp2, which shards as much, or ddp or single"
            )
        return value


Method = Annotated[
    Orpo | Supervised | Dpo | Simpo | ProbabilityRatio | Reward | Ppo | Rloo,
    Field(discriminator="type"),
]
METHODS: dict[str, type[Method]] = {
    method.model_fields["type"].default: method for method in get_args(get_args(Method)[0])
}


def is_judge(kind: str) -> bool:
    """Whether a method of this name makes a judge of answers, which can't chat."""
    return kind in METHODS and METHODS[kind].scores


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) = -log sigmoid(-x), without overflow."""
    return x.new_zeros(()).logaddexp(x)


def parse_method(kind: str, hyperparameters: dict[str, Any]) -> Method:
    """Build a method from its name and its flat hyperparameters ("auto" means the default).

    Raises KeyError for an unknown method and pydantic's ValidationError for a bad value.
    """
    given = {name: value for name, value in hyperparameters.items() if value != "auto"}
    return METHODS[kind].model_validate(given)
