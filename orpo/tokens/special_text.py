"""Special strings in the rows of a training: which they are, and pairs without them.

Knows tokenizers and pairs; the rule itself, which the API follows too, is `orpo.contract.special`.
"""

import re
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from orpo.contract.hyperparameters import SpecialTokens
from orpo.contract.special import SpecialTextError, admit
from orpo.rows.formats import Message, Pair, Reject

# By what templates mark roles and turns, also where a tokenizer has no special token for it.
ROLE_MARKS = re.compile(
    r"<[|\uff5c][^|\uff5c<>\s]{1,64}[|\uff5c]>|\[/?[A-Z][A-Z_]+\]|<</?SYS>>|<(?:start|end)_of_turn>"
)
# Shorter ones (some tokenizers have "!") are text that people write.
SHORTEST_SPECIAL = 3


def special_strings(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """What no message may hold: the tokenizer's special tokens and its template's marks of roles.

    A base's list is found once, when it is registered; the engines' side reads it from there.
    """
    found = special_tokens(tokenizer) | set(ROLE_MARKS.findall(str(tokenizer.chat_template)))
    return tuple(sorted(s for s in found if len(s) >= SHORTEST_SPECIAL and not s.isspace()))


def admitted(
    pair: Pair,
    tokenizer: PreTrainedTokenizerBase,
    strings: tuple[str, ...],
    rule: SpecialTokens,
) -> Pair:
    """The pair with every message as it is to be rendered.

    Raises `Reject("special_token")` where a message holds one of `strings` and the rule is to
    refuse it, or where this tokenizer takes it for a special token even when it is broken up.
    """

    def text(content: str) -> str:
        try:
            plain = admit(content, strings, rule)
        except SpecialTextError as error:
            raise Reject("special_token", str(error)) from error
        if plain != content and (left := _made_special(tokenizer, plain)):
            raise Reject("special_token", str(SpecialTextError(left)))
        return plain

    def turns(messages: list[Message]) -> list[Message]:
        return [Message(role=turn["role"], content=text(turn["content"])) for turn in messages]

    rejected = None if pair.rejected is None else turns(pair.rejected)
    return replace(pair, prompt=turns(pair.prompt), chosen=turns(pair.chosen), rejected=rejected)


def _made_special(tokenizer: PreTrainedTokenizerBase, text: str) -> str | None:
    """A special token that is made of `text`, if there is one."""
    found = set(tokenizer(text, add_special_tokens=False)["input_ids"])
    return next((s for s, number in special_ids(tokenizer).items() if number in found), None)


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The number of each special token that no message may hold."""
    strings = (s for s in special_tokens(tokenizer) if len(s) >= SHORTEST_SPECIAL)
    ids = {s: tokenizer.convert_tokens_to_ids(s) for s in strings}
    return {s: number for s, number in ids.items() if number != tokenizer.unk_token_id}


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The strings of which a tokenizer makes special tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {token.content for token in added if token.special}
    return special | set(tokenizer.all_special_tokens)
