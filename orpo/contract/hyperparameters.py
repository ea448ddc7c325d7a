"""The hyperparameters that every method shares, with their defaults and bounds.

Importable without torch: the API validates with them, the core reads them.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Tuning(StrEnum):
    """An adapter; an adapter on a base that is held in 4 bits; or all weights."""

    LORA = "lora"
    QLORA = "qlora"
    FULL = "full"


class Optimizer(StrEnum):
    """They keep 8, 2 or almost 0 bytes of moments for each trained weight."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw_8bit"
    ADAFACTOR = "adafactor"


class NllTokens(StrEnum):
    """Which tokens the likelihood term covers (TRL trains `full`, LLaMA-Factory `response`)."""

    RESPONSE = "response"
    FULL = "full"


class NllReduction(StrEnum):
    """`token`: sum over tokens / global tokens; `sequence`: mean of per-sequence means."""

    TOKEN = "token"  # noqa: S105 - a way of averaging, not a secret
    SEQUENCE = "sequence"


class Turns(StrEnum):
    """Which assistant turns are trained: the answer alone, or those in the prompt too."""

    LAST = "last"
    ALL = "all"


class Overlong(StrEnum):
    """What happens to a pair whose prompt leaves no room for an answer within `max_length`."""

    DROP = "drop"
    TRUNCATE_PROMPT = "truncate_prompt"


class SpecialTokens(StrEnum):
    """What happens to a message that holds a special string of the base, such as `<|im_end|>`."""

    REFUSE = "refuse"
    ESCAPE = "escape"


class Reasoning(StrEnum):
    """What happens to the thoughts of an answer; `auto` keeps those that the template shows."""

    KEEP = "keep"
    STRIP = "strip"
    AUTO = "auto"


class Schedule(StrEnum):
    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class Precision(StrEnum):
    BF16 = "bf16"
    FP32 = "fp32"


class Strategy(StrEnum):
    """One process; whole copies; or weights, gradients and moments sharded over processes."""

    SINGLE = "single"
    DDP = "ddp"
    FSDP2 = "fsdp2"
    ZERO2 = "zero2"
    ZERO3 = "zero3"


# The paper's rate suits full tuning; an adapter that starts at zero needs a larger one.
LEARNING_RATES = {Tuning.FULL: 8e-6, Tuning.LORA: 2e-4, Tuning.QLORA: 2e-4}


class Group(StrEnum):
    """Settings that are shown together, in this order; a field names its group.

    A method's own settings need no group: they belong to the main ones, before the shared ones.
    """

    MAIN = "Settings"
    SCHEDULE = "Schedule"
    ADAPTER = "Adapter"
    TEXT = "Text and loss"
    MEASURING = "Measuring"
    SPEED = "Speed and memory"


# A choice comes from JSON as text; a strict model would refuse it.
Choice = TypeVar("Choice", bound=StrEnum)
OneOf = Annotated[Choice, Field(strict=False)]

# The dotted names of published models' modules have fewer than 100 characters.
ModuleName = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


class Hyperparameters(Strict):
    """The settings that every method shares, under the same names in the API, CLI and `spec.json`.

    Types are strict: neither `true` nor 3.0 is accepted as a whole number, nor "yes" as a flag. A
    choice is given as its text (`OneOf`).
    """

    model_config = ConfigDict(strict=True)

    label: ClassVar[str] = ""
    """The method's name in a list of methods; if empty, its type is shown."""
    scores: ClassVar[bool] = False
    """Whether the run trains a number for each whole answer instead of its tokens' log-probs: the
    model has a `score` in place of its head, and each sequence is read at its last token."""
    unused: ClassVar[frozenset[str]] = frozenset()
    """Settings that mean nothing to the method: it accepts only their defaults."""
    rates: ClassVar[dict[Tuning, float]] = LEARNING_RATES
    """The learning rate where none is given."""

    n_epochs: Annotated[float, Group.MAIN] = Field(
        default=1, gt=0, le=1000, description="Passes over the training pairs."
    )
    learning_rate: Annotated[float, Group.MAIN] = Field(
        default=2e-4,
        gt=0,
        le=1,
        description="Peak rate; 2e-4 for an adapter, 8e-6 for all weights.",
    )
    batch_size: Annotated[int, Group.MAIN] = Field(
        default=8, ge=1, le=4096, description="Pairs in one optimizer step."
    )
    tuning: Annotated[OneOf[Tuning], Group.MAIN] = Field(
        default=Tuning.LORA,
        description="Train an adapter (lora), an adapter on a base held in 4 bits (qlora), or all "
        "weights (full).",
    )

    max_steps: Annotated[int | None, Group.SCHEDULE] = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Train this many steps, whatever `n_epochs` says.",
    )
    learning_rate_multiplier: Annotated[float, Group.SCHEDULE] = Field(
        default=1, gt=0, le=1000, description="Multiplies `learning_rate` (a name of OpenAI's API)."
    )
    schedule: Annotated[OneOf[Schedule], Group.SCHEDULE] = Field(
        default=Schedule.COSINE, description="Shape of the rate after warm-up."
    )
    warmup_ratio: Annotated[float, Group.SCHEDULE] = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps that warm up."
    )
    weight_decay: Annotated[float, Group.SCHEDULE] = Field(
        default=0.0, ge=0, le=1, description="Decoupled weight decay."
    )
    max_grad_norm: Annotated[float, Group.SCHEDULE] = Field(
        default=1.0, gt=0, description="Gradients are clipped to this norm."
    )

    lora_rank: Annotated[int, Group.ADAPTER] = Field(
        default=16, ge=1, le=512, description="Rank of the adapter's matrices."
    )
    lora_alpha: Annotated[float, Group.ADAPTER] = Field(
        default=32, gt=0, description="Scale of the adapter; alpha / rank is applied."
    )
    use_rslora: Annotated[bool, Group.ADAPTER] = Field(
        default=False,
        description="Apply alpha / sqrt(rank) instead, so that large ranks learn as small ones do.",
    )
    use_dora: Annotated[bool, Group.ADAPTER] = Field(
        default=False,
        description="Also train the length of each weight row (DoRA). Served as merged weights.",
    )
    modules_to_save: Annotated[list[ModuleName], Group.ADAPTER] = Field(
        default_factory=list,
        max_length=100,
        description="Modules to train whole in addition to the adapter, by the ends of their "
        "names, such as embed_tokens and lm_head. Served as merged weights.",
    )

    max_length: Annotated[int, Group.TEXT] = Field(
        default=2048, ge=8, le=1_048_576, description="Longest sequence, in tokens."
    )
    overlong: Annotated[OneOf[Overlong], Group.TEXT] = Field(
        default=Overlong.DROP,
        description="Drop a pair whose prompt is too long, or cut it from the left.",
    )
    special_tokens: Annotated[OneOf[SpecialTokens], Group.TEXT] = Field(
        default=SpecialTokens.REFUSE,
        description="Drop a pair, and refuse a chat request, whose text holds a special token of "
        "the base, such as <|im_end|>; or break that token up with an invisible character, in "
        "training and in chat alike.",
    )
    turns: Annotated[OneOf[Turns], Group.TEXT] = Field(
        default=Turns.LAST, description="Train the last assistant turn, or all of them."
    )
    reasoning: Annotated[OneOf[Reasoning], Group.TEXT] = Field(
        default=Reasoning.AUTO,
        description="Train the thoughts of answers and drop a pair whose thoughts the chat "
        "template leaves out (keep), remove them (strip), or remove only those that the template "
        "leaves out (auto).",
    )
    nll_reduction: Annotated[OneOf[NllReduction], Group.TEXT] = Field(
        default=NllReduction.TOKEN, description="How the likelihood term is averaged."
    )
    nll_tokens: Annotated[OneOf[NllTokens], Group.TEXT] = Field(
        default=NllTokens.RESPONSE, description="Tokens the likelihood term covers."
    )

    held_out_fraction: Annotated[float, Group.MEASURING] = Field(
        default=0.1, ge=0, le=0.5, description="Share held out when no validation file is given."
    )
    max_held_out: Annotated[int, Group.MEASURING] = Field(
        default=64, ge=0, le=10_000, description="At most this many held-out pairs."
    )
    eval_every: Annotated[int | None, Group.MEASURING] = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Steps between evaluations; by default a fifth of the run, at least 10.",
    )
    checkpoint_every: Annotated[int | None, Group.MEASURING] = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Steps between checkpoints; by default a fifth of the run.",
    )
    keep_checkpoints: Annotated[int, Group.MEASURING] = Field(
        default=3,
        ge=0,
        le=10_000,
        description="Keep this many of the newest checkpoints, at least two, and the one with the "
        "lowest held-out loss. 0 keeps all.",
    )
    n_samples: Annotated[int, Group.MEASURING] = Field(
        default=3, ge=0, le=32, description="Held-out prompts answered at evaluations."
    )
    sample_tokens: Annotated[int, Group.MEASURING] = Field(
        default=64, ge=1, le=2048, description="Longest answer to such a prompt, in tokens."
    )

    optimizer: Annotated[OneOf[Optimizer], Group.SPEED] = Field(
        default=Optimizer.ADAMW,
        description="AdamW; AdamW with its moments in 8 bits; or Adafactor, which keeps one number "
        "a row and column instead. The last two save memory.",
    )
    precision: Annotated[OneOf[Precision], Group.SPEED] = Field(
        default=Precision.BF16, description="Compute in bf16 or fp32."
    )
    token_budget: Annotated[int | None, Group.SPEED] = Field(
        None,
        ge=8,
        le=1_048_576,
        description="Tokens in one forward pass: by default 1,024 on a CPU (2,048 if it has AMX), "
        "8,192 on a GPU. Changes speed and memory, not results.",
    )
    prefix_sharing: Annotated[bool, Group.SPEED] = Field(
        default=True,
        description="Compute a pair's prompt once for both answers; changes speed only.",
    )
    gradient_checkpointing: Annotated[bool, Group.SPEED] = Field(
        default=False,
        description="Compute each layer twice and keep less: slower, the same numbers.",
    )
    activation_offload: Annotated[bool, Group.SPEED] = Field(
        default=False,
        description="Move what `gradient_checkpointing` keeps to the host's memory; the same "
        "numbers.",
    )
    strategy: Annotated[OneOf[Strategy], Group.SPEED] = Field(
        default=Strategy.SINGLE, description="How work is spread over processes."
    )
    processes: Annotated[int, Group.SPEED] = Field(
        default=1, ge=1, le=512, description="Training processes (ranks), over all nodes."
    )
    nodes: Annotated[int, Group.SPEED] = Field(
        default=1, ge=1, le=64, description="Machines over which the processes are spread evenly."
    )

    @model_validator(mode="before")
    @classmethod
    def _rate_for_tuning(cls, data: Any) -> Any:
        if isinstance(data, dict) and "learning_rate" not in data:
            tuning = data.get("tuning", Tuning.LORA)
            if isinstance(tuning, str) and tuning in cls.rates:
                return {**data, "learning_rate": cls.rates[Tuning(tuning)]}
        return data

    @model_validator(mode="after")
    def _processes_need_a_strategy(self) -> Self:
        if self.processes > 1 and self.strategy is Strategy.SINGLE:
            raise ValueError(
                f"processes = {self.processes} needs a strategy that spreads work: "
                "set strategy to 'ddp' (or 'fsdp2', 'zero2', 'zero3'), or processes to 1."
            )
        if self.processes % self.nodes:
            raise ValueError(
                f"processes = {self.processes} can't be spread evenly over nodes = {self.nodes}: "
                "make it a multiple."
            )
        return self

    @model_validator(mode="after")
    def _only_an_adapter_has_them(self) -> Self:
        for name in ("use_dora", "modules_to_save"):
            if self.tuning is Tuning.FULL and getattr(self, name):
                raise ValueError(
                    f"{name} belongs to an adapter, and tuning 'full' trains all weights: "
                    f"set tuning to 'lora', or leave {name} out."
                )
        return self

    @model_validator(mode="after")
    def _adamw_alone_can_be_cut_up(self) -> Self:
        whole = self.strategy in (Strategy.SINGLE, Strategy.DDP)
        if self.optimizer is not Optimizer.ADAMW and not whole:
            raise ValueError(
                f"optimizer '{self.optimizer}' does not go with strategy '{self.strategy}', which "
                "shards the optimizer's state: set optimizer to 'adamw', or strategy to 'single' "
                "or 'ddp'."
            )
        return self

    @model_validator(mode="after")
    def _offload_needs_checkpointing(self) -> Self:
        if self.activation_offload and not self.gradient_checkpointing:
            raise ValueError(
                "activation_offload moves what gradient_checkpointing keeps: set "
                "gradient_checkpointing to true too, or activation_offload to false."
            )
        return self
