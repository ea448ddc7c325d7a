"""The head of a reward model: one number for the hidden state at the end of an answer.

Knows transformers' classes for sequence classification; knows nothing of batches or of the
objective.

Shapes: D hidden size.
"""

import math
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from orpo.contract.failures import Code, Failure
from orpo.contract.methods import parse_method
from orpo.layers.peft import ModulesToSaveWrapper
from orpo.rows.formats import Message, Pair
from orpo.tokens.tokenize import tokenize_pairs

NAME = "score"


def with_score(lm: PreTrainedModel, seed: int, pad_token_id: int) -> PreTrainedModel:
    """The model's backbone under transformers' `...ForSequenceClassification` of the same
    architecture, with one label; the language-model head is dropped.

    The score is fp32 [1, D], normal with a standard deviation of 1 / sqrt(D + 1) (arXiv 2009.01325,
    appendix B.1), from `seed`. Raises Failure(`bad_spec`) if transformers has no such class.
    """
    config = lm.config
    for each in (config, config.get_text_config()):
        each.pad_token_id = pad_token_id
    config.num_labels = 1
    model = _empty(lm)
    if model is None or not _is_score(model):
        raise Failure(
            Code.BAD_SPEC,
            f"base_model is a {type(lm).__name__}, and transformers has no model of this "
            "architecture that gives a sequence one number from its last token.",
            "Choose a base model of another architecture, such as Llama, Qwen, Gemma or SmolLM.",
            "base_model",
        )
    setattr(model, model.base_model_prefix, lm.base_model)
    model.score = _new_score(cast(Any, model.score).in_features, seed)
    model.name_or_path = lm.name_or_path
    return model.eval()


def _empty(lm: PreTrainedModel) -> PreTrainedModel | None:
    """The classifier without values in memory; None if there is none with the same backbone."""
    classes: Any = AutoModelForSequenceClassification._model_mapping  # noqa: SLF001  no public name
    if type(lm.config) not in classes:
        return None
    with torch.device("meta"):
        model = classes[type(lm.config)](lm.config)
    backbone = getattr(model, model.base_model_prefix, None)
    return model if type(backbone) is type(lm.base_model) else None


def _is_score(model: PreTrainedModel) -> bool:
    found = getattr(model, NAME, None)
    return type(found) is nn.Linear and found.out_features == 1 and found.bias is None


def _new_score(size: int, seed: int) -> nn.Linear:
    head = nn.Linear(size, 1, bias=False, dtype=torch.float32)
    chance = torch.Generator().manual_seed(seed)
    head.weight.data.normal_(std=1 / math.sqrt(size + 1), generator=chance)
    return head


def score_head(model: PreTrainedModel) -> nn.Linear:
    """The layer that turns a hidden state into a reward; under an adapter, its trained copy."""
    found: Any = model.score
    if isinstance(found, ModulesToSaveWrapper):
        found = found.modules_to_save[found.active_adapters[0]]
    return cast(nn.Linear, found)


def has_score(model: PreTrainedModel) -> bool:
    """Whether the model is a reward model, with a score in place of a language-model head."""
    return isinstance(getattr(model, NAME, None), nn.Linear | ModulesToSaveWrapper)


def pad_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """A token that pads rows of the saved model, and never ends a turn.

    transformers reads the last token of a row that is not padding. Many tokenizers pad with the
    token that ends a turn, and the reward would be read before it. Raises Failure(`bad_spec`) if
    the tokenizer has no special token besides that one.
    """
    ends: list[Any] = [tokenizer.eos_token_id, last_token(tokenizer)]
    special: Any = getattr(tokenizer, "added_tokens_decoder", {})
    others = sorted(number for number, token in special.items() if token.special)
    named = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id)
    for number in (*named, *others):
        if isinstance(number, int) and number not in ends:
            return number
    raise Failure(
        Code.BAD_SPEC,
        "base_model's tokenizer has one special token only. A padded row of a reward model must "
        "not end in the token that ends a turn, and there is no other one to pad with.",
        "Choose a base model whose tokenizer has a padding token.",
        "base_model",
    )


def last_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that ends an answer; None if the template refuses a plain conversation."""
    asked, said = Message(role="user", content="hello"), Message(role="assistant", content="one")
    examples, _, _ = tokenize_pairs(
        [Pair(0, [asked], [said], None)], tokenizer, parse_method("supervised", {})
    )
    return examples[0].chosen[-1] if examples else None
