"""Repairs of single texts and rows that are certain: wrong encodings, control characters, control
tokens around a message, and prompts that a chat template has formatted already.
"""

import re
from typing import Any

import ftfy
from ftfy import TextFixerConfig

from orpo.audit.markup import CONTROL_CHARACTER, CONTROL_TOKEN
from orpo.audit.texts import Row, Turn, turns_of

# Only the encoding is repaired; a lost byte is not guessed.
ENCODING = TextFixerConfig(unescape_html=False, replace_lossy_sequences=False)
BREAKS = "\x0b\x0c"

_ENDS = (
    "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>", "<|eom_id|>",
    "<end_of_turn>", "<eos>", "</s>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
)  # fmt: skip
_BEGINS = ("<s>", "<bos>", "<|begin_of_text|>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>")
TAIL = re.compile(rf"(?:\s*(?:{'|'.join(map(re.escape, _ENDS))}))+\s*\Z")
HEAD = re.compile(rf"\A(?:\s*(?:{'|'.join(map(re.escape, _BEGINS))}))+")
# A whole prompt, as ChatML and as Llama 3 format it.
_ROLE = "(system|user|assistant)"
FORMATS = (
    (re.compile(rf"<\|im_start\|>{_ROLE}\n(.*?)<\|im_end\|>\s*", re.DOTALL),
     re.compile(r"(?:<\|im_start\|>assistant\s*)?")),
    (re.compile(rf"<\|start_header_id\|>{_ROLE}<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>\s*",
                re.DOTALL),
     re.compile(r"(?:<\|start_header_id\|>assistant<\|end_header_id\|>\s*)?")),
)  # fmt: skip


def with_encoding(text: str) -> str:
    """The text, decoded again where it was decoded with a wrong encoding."""
    return ftfy.fix_encoding(text, ENCODING)


def without_control_characters(text: str) -> str:
    """The text without them; a form feed and a vertical tab become a line feed."""
    return CONTROL_CHARACTER.sub(lambda match: "\n" if match[0] in BREAKS else "", text)


def without_control_tokens(row: Row) -> Row:
    """The row without control tokens around its messages, and with a formatted prompt read as
    messages; the same row if it would hold other control tokens still.
    """
    made = {name: row[name] and [*map(_bare, row[name])] for name in ("chosen", "rejected")}
    repaired = {**row, "prompt": _prompt(row["prompt"]), **made}
    left = any(CONTROL_TOKEN.search(turn.get("content") or "") for turn in turns_of(repaired))
    return row if left else repaired


def _bare(turn: Turn) -> Turn:
    content = turn.get("content") or ""
    return {**turn, "content": TAIL.sub("", HEAD.sub("", content))}


def _prompt(turns: list[Turn]) -> list[Turn]:
    if len(turns) == 1 and set(turns[0]) == {"role", "content"}:
        text = HEAD.sub("", turns[0]["content"])
        for message, end in FORMATS:
            if found := _messages(text, message, end):
                return found
    return [*map(_bare, turns)]


def _messages(text: str, message: re.Pattern[str], end: re.Pattern[str]) -> list[Turn] | None:
    """The messages of a text that is nothing but messages in a format, and may ask for another."""
    found: list[dict[str, Any]] = []
    text, at = text.lstrip(), 0
    while match := message.match(text, at):
        found.append({"role": match[1], "content": match[2]})
        at = match.end()
    return found if found and end.fullmatch(text, at) else None
