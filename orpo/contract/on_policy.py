"""Methods that train a policy on answers of its own, which a reward model scores.

A step generates answers to a batch of prompts, scores them, and updates the policy on them several
times. The rows' own answers are not trained. The losses are in `orpo/loss/clipped.py`. Importable
without torch: the API validates with these classes.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from orpo.contract.hyperparameters import Group, Hyperparameters, Strategy, Tuning


class OnPolicy(Hyperparameters):
    """The settings that `ppo` and `rloo` share. Defaults are those of Table 5 of the ORPO paper."""

    contrasts: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    nll_weight: ClassVar[float] = 0.0
    rates: ClassVar[dict[Tuning, float]] = {
        Tuning.FULL: 1e-5,
        Tuning.LORA: 1e-4,
        Tuning.QLORA: 1e-4,
    }

    reward_model: str = Field(
        min_length=1,
        max_length=512,
        description="The model that scores answers: a model that the method `reward` has trained, "
        "with the same tokenizer as the base.",
    )
    learning_rate: Annotated[float, Group.MAIN] = Field(
        default=1e-4,
        gt=0,
        le=1,
        description="Peak rate; 1e-4 for an adapter, 1e-5 for all weights.",
    )
    batch_size: Annotated[int, Group.MAIN] = Field(
        default=64, ge=1, le=4096, description="Prompts that are answered in one step."
    )
    ppo_epochs: int = Field(
        default=4, ge=1, le=100, description="Passes over the answers of a step."
    )
    minibatch_size: int = Field(
        default=8, ge=1, le=4096, description="Answers in one update of the weights."
    )
    kl_weight: float = Field(
        default=0.1,
        ge=0,
        le=100,
        description="Initial weight of the penalty for leaving the base, per nat.",
    )
    kl_target: float | None = Field(
        default=6.0,
        gt=0,
        le=10_000,
        description="The weight of the penalty is adapted so that an answer's KL divergence from "
        "the base comes to this many nats; null keeps the weight as it is.",
    )
    kl_horizon: Annotated[int, Group.TEXT] = Field(
        default=2000,
        ge=1,
        le=10_000_000,
        description="Answers over which the weight of the penalty is adapted; fewer adapt faster.",
    )
    kl_limit: Annotated[float, Group.TEXT] = Field(
        default=60.0,
        gt=0,
        le=100_000,
        description="The run ends if the mean KL divergence of a step's answers exceeds this many "
        "nats.",
    )
    clip: Annotated[float, Group.TEXT] = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="An update stops to count once a probability has changed by this share.",
    )
    normalise_scores: Annotated[bool, Group.TEXT] = Field(
        default=True,
        description="Subtract the mean of a step's scores, and divide by their standard deviation.",
    )
    cut_off_penalty: Annotated[float, Group.TEXT] = Field(
        default=1.0,
        ge=0,
        le=1000,
        description="Subtracted from the score of an answer that does not end within "
        "`max_new_tokens`.",
    )
    max_new_tokens: int = Field(
        default=64, ge=1, le=8192, description="Longest answer to a prompt, in tokens."
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description="Of the answers and of all probabilities; below 1 for less varied answers.",
    )

    @field_validator("strategy")
    @classmethod
    def _is_not_sharded(cls, strategy: Strategy) -> Strategy:
        if strategy not in (Strategy.SINGLE, Strategy.DDP):
            raise ValueError(
                f"strategy '{strategy}' shards the weights, and answers are generated with all of "
                "them: set strategy to 'single' or 'ddp'"
            )
        return strategy

    @model_validator(mode="after")
    def _minibatches_fit(self) -> Self:
        answers = self.batch_size * self.answers_each
        if self.minibatch_size > answers:
            raise ValueError(
                f"minibatch_size = {self.minibatch_size} is more than the {answers} answers of a "
                "step: make it smaller, or raise batch_size."
            )
        return self

    @model_validator(mode="after")
    def _limit_is_above_target(self) -> Self:
        if self.kl_target is not None and self.kl_limit <= self.kl_target:
            raise ValueError(
                f"kl_limit = {self.kl_limit} ends the run before kl_target = {self.kl_target} is "
                "reached: make it larger."
            )
        return self

    @property
    def answers_each(self) -> int:
        """Answers to each prompt of a step."""
        return 1


class Ppo(OnPolicy):
    """Proximal policy optimisation with a value head on the policy, arXiv 1707.06347 and 1909.08593
    (the penalty): the RLHF baseline of the ORPO paper.
    """

    type: Literal["ppo"] = "ppo"
    label: ClassVar[str] = "PPO, on own answers that a reward model scores"

    gamma: Annotated[float, Group.TEXT] = Field(
        default=0.99, ge=0, le=1, description="Discount of a later token's reward."
    )
    gae_lambda: Annotated[float, Group.TEXT] = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Share of later rewards, rather than of the value head, in an advantage.",
    )
    value_weight: Annotated[float, Group.TEXT] = Field(
        default=0.1, ge=0, le=100, description="Weight of the value head's loss."
    )
    value_clip: Annotated[float, Group.TEXT] = Field(
        default=0.2,
        gt=0,
        le=1000,
        description="A value moves by at most this much in a step.",
    )


class Rloo(OnPolicy):
    """REINFORCE with several answers to each prompt, of which each is compared with the others,
    arXiv 2402.14740: no value head.
    """

    type: Literal["rloo"] = "rloo"
    label: ClassVar[str] = "RLOO, on several own answers to each prompt that a reward model scores"

    batch_size: Annotated[int, Group.MAIN] = Field(
        default=16, ge=1, le=4096, description="Prompts that are answered in one step."
    )
    answers_per_prompt: int = Field(default=4, ge=2, le=256, description="Answers to each prompt.")

    @property
    def answers_each(self) -> int:
        return self.answers_per_prompt
