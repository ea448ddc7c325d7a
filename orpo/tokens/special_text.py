"""Finds the special strings in training rows, and escapes or refuses them.

Knows tokenizers and pairs; the rule itself, which the API uses too, is `orpo.contract.special`.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from orpo.contract.hyperparameters import SpecialTokens
from orpo.contract.special import SpecialTextError, admit
from orpo.rows.formats import Message, Pair, Reject
from orpo.rows.tools import Called, ToolCall
from orpo.rows.values import mapped

# Strings that templates use to mark roles and turns, even if the tokenizer has no special token for
# them.
ROLE_MARKS = re.compile(
    r"<[|\uff5c][^|\uff5c<>\s]{1,64}[|\uff5c]>|\[/?[A-Z][A-Z_]+\]|<</?SYS>>|<(?:start|end)_of_turn>"
)
# Shorter ones (some tokenizers have "!") occur in ordinary text.
SHORTEST_SPECIAL = 3


def special_strings(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The strings that no message may hold: the tokenizer's special tokens and its template's role
    marks.

    A base's list is made once, at registration; the serving side reads that list.
    """
    found = special_tokens(tokenizer) | set(ROLE_MARKS.findall(str(tokenizer.chat_template)))
    return tuple(sorted(s for s in found if len(s) >= SHORTEST_SPECIAL and not s.isspace()))


def admitted(
    pair: Pair,
    tokenizer: PreTrainedTokenizerBase,
    strings: tuple[str, ...],
    rule: SpecialTokens,
) -> Pair:
    """The pair with every message ready to render.

    Raises `Reject("special_token")` if a message holds one of `strings` and the rule refuses it, or
    if this tokenizer makes a special token of the escaped text.
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
        return [_admitted(turn, text) for turn in messages]

    rejected = None if pair.rejected is None else turns(pair.rejected)
    tools = [_admitted_tool(tool, text) for tool in pair.tools] if pair.tools else None
    return replace(
        pair, prompt=turns(pair.prompt), chosen=turns(pair.chosen), rejected=rejected, tools=tools
    )


def _admitted(turn: Message, text: Callable[[str], str]) -> Message:
    """The turn with all its texts admitted, also those in its tool calls."""
    made = turn.copy()
    made["content"] = text(turn["content"])
    for key in ("reasoning_content", "name", "tool_call_id"):
        if held := turn.get(key):
            made[key] = text(held)
    if "tool_calls" in turn:
        made["tool_calls"] = [_admitted_call(call, text) for call in turn["tool_calls"]]
    return made


def _admitted_call(call: ToolCall, text: Callable[[str], str]) -> ToolCall:
    made, called = call.copy(), call["function"]
    if "id" in call:
        made["id"] = text(call["id"])
    arguments = mapped(called["arguments"], text)
    made["function"] = Called(name=text(called["name"]), arguments=arguments)
    return made


def _admitted_tool(tool: dict[str, Any], text: Callable[[str], str]) -> dict[str, Any]:
    function = {key: mapped(held, text) for key, held in tool["function"].items()}
    return {**tool, "function": function}


def _made_special(tokenizer: PreTrainedTokenizerBase, text: str) -> str | None:
    """A special token that the tokenizer makes of `text`, or None."""
    found = set(tokenizer(text, add_special_tokens=False)["input_ids"])
    return next((s for s, number in special_ids(tokenizer).items() if number in found), None)


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The id of each special token that no message may hold."""
    strings = (s for s in special_tokens(tokenizer) if len(s) >= SHORTEST_SPECIAL)
    ids = {s: tokenizer.convert_tokens_to_ids(s) for s in strings}
    return {s: number for s, number in ids.items() if number != tokenizer.unk_token_id}


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The strings that a tokenizer turns into special tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {token.content for token in added if token.special}
    return special | set(tokenizer.all_special_tokens)
