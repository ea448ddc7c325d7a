"""Text that does not belong into a turn: control tokens, transcripts, names of speakers, control
characters, and text that was decoded with a wrong encoding.

A block of rows is searched at once, in its bytes; only rows with a candidate are looked at.
"""

import re
from collections.abc import Iterator

from orpo.audit.blocks import Block
from orpo.audit.texts import Row, Turn, turns_of

CONTROL_TOKEN = re.compile(
    "<\\|(?!\\s)[^|<>\n]{1,40}\\|>|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>"
    r"|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>|<[be]os>|\A\s*<s>|</s>\s*\Z"
)
# A line that begins with a speaker's name, in the manners in which transcripts are written. In
# lower case, such a line is more often a setting of a program.
_USERS = ("Human", "HUMAN", "User", "USER")
_ASSISTANTS = ("Assistant", "ASSISTANT", "ChatGPT", "GPT", "AI")
_MARK = r"(?:#{2,3} ?|\*\*)?"
_SAYS = r"(?:\*\*)?:(?=[ \n]|\*\*)"
USER_LINE = re.compile(rf"^[ \t]*{_MARK}(?:{'|'.join(_USERS)}){_SAYS}", re.MULTILINE)
ASSISTANT_LINE = re.compile(rf"^[ \t]*{_MARK}(?:{'|'.join(_ASSISTANTS)}){_SAYS}", re.MULTILINE)
ALPACA = re.compile(r"^### ?Instruction:.*^### ?Response:[ \n]", re.MULTILINE | re.DOTALL)
NAMED = re.compile(rf"\s*{_MARK}(?:{'|'.join((*_USERS, *_ASSISTANTS))}){_SAYS}")
# C0 and delete, but tab, line feed and carriage return; bidirectional overrides; a mark of byte
# order inside text.
CONTROL_CHARACTER = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff]")
REPLACEMENT = "\ufffd"

# In the bytes of a row: JSON escapes quotes, backslashes and control characters, nothing else. A
# pattern that begins with one certain byte is searched ten times as fast as one that doesn't.
_TOKEN = re.compile(rb"<(?:\||\xef\xbd\x9c|</?SYS|/?start_of|/?end_of|[be]os>|/?s>)")
_INST = re.compile(rb"\[/?INST\]")
_COLON = re.compile(rb":[ \\*]")
_NAMES = tuple(name.encode() for name in (*_USERS, *_ASSISTANTS, "Response"))
_SPEAKERS = (*_NAMES, *(name + b"**" for name in _NAMES))
_LAST = frozenset(name[-1] for name in _SPEAKERS)
LONGEST_NAME = max(map(len, _SPEAKERS))
_ESCAPED = re.compile(rb"\\[bfu]")
_DELETE = b"\x7f"
# Of a text that is not ASCII: marks that are invisible, and what wrong decoding leaves.
BEYOND_ASCII = re.compile(
    rb"(\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbb\xbf)"
    rb"|(\xc3[\x80-\x9f\xa2]|\xc2[\x80-\x9f\xa0-\xbf]|\xef\xbf\xbd)"
)
IS_MARK = 1


def found(block: Block) -> Iterator[tuple[str, int]]:
    """Yield a code and the index of a row in the block, for each finding. One may come twice."""
    rows, raw = block.rows, block.raw
    tokens = [*_starts(_TOKEN, raw), *_starts(_INST, raw)]
    for index in block.rows_at(tokens):
        if any(CONTROL_TOKEN.search(_text(turn)) for turn in turns_of(rows[index])):
            yield "control_token", index
    speakers = [
        at
        for at in _starts(_COLON, raw)
        if raw[at - 1] in _LAST and raw.endswith(_SPEAKERS, max(0, at - LONGEST_NAME), at)
    ]
    for index in block.rows_at(speakers):
        if is_transcript(rows[index]):
            yield "transcript", index
        elif is_role_mistake(rows[index]):
            yield "role_mistake", index
    yield from _characters(block)


def _starts(pattern: re.Pattern[bytes], raw: bytes) -> Iterator[int]:
    return (match.start() for match in pattern.finditer(raw))


def _characters(block: Block) -> Iterator[tuple[str, int]]:
    escaped = [*_starts(_ESCAPED, block.raw), *_finds(block.raw, _DELETE)]
    marks: list[int] = []
    broken: list[int] = []
    for match in () if block.raw.isascii() else BEYOND_ASCII.finditer(block.raw):
        (marks if match.lastindex == IS_MARK else broken).append(match.start())
    for index in block.rows_at([*escaped, *marks]):
        if any(CONTROL_CHARACTER.search(_text(turn)) for turn in turns_of(block.rows[index])):
            yield "control_character", index
    for index in block.rows_at(broken):
        if any(is_mojibake(_text(turn)) for turn in turns_of(block.rows[index])):
            yield "mojibake", index


def _finds(raw: bytes, sought: bytes) -> Iterator[int]:
    at = raw.find(sought)
    while at >= 0:
        yield at
        at = raw.find(sought, at + 1)


def is_mojibake(text: str) -> bool:
    """Whether a text was decoded with a wrong encoding, or lost characters to it."""
    if text.isascii():
        return False
    # Takes longer to import than a small file to audit, and few files need it.
    from ftfy.badness import is_bad  # noqa: PLC0415

    return REPLACEMENT in text or is_bad(text)


def is_transcript(row: Row) -> bool:
    """Whether one turn holds lines of both speakers."""
    return any(_holds_both(_text(turn)) for turn in turns_of(row))


def _holds_both(text: str) -> bool:
    both = USER_LINE.search(text) and ASSISTANT_LINE.search(text)
    return bool(both) or ALPACA.search(text) is not None


def is_role_mistake(row: Row) -> bool:
    """Whether an assistant's turn has a line of the user, or begins with a speaker's name."""
    return any(
        turn["role"] == "assistant"
        and (NAMED.match(_text(turn)) is not None or USER_LINE.search(_text(turn)) is not None)
        for turn in turns_of(row)
    )


def _text(turn: Turn) -> str:
    return turn.get("content") or ""
