"""What one row shows by itself: refusals, cut answers, repeated prompts, the order of roles.

Small functions of texts and turns; exact, and cheap enough for every row.
"""

import re
from collections.abc import Iterator, Sequence
from operator import eq

from orpo.audit.side import Side, Sides
from orpo.audit.texts import Row, Turn

LONG = 20  # characters that an answer does not repeat by chance
CUT_LINE = 60  # a shorter last line may be a heading, a name or an entry of a list
# The last character of a line that goes on: a letter of any script with words, or a comma.
GOES_ON = frozenset(",;-\u2013\u2014(/&+=")
WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
SENTENCE = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*\s")
LIST_ENTRY = re.compile(r"\s*(?:[-*•|>#]|\d+[.)]|`)")
FENCE = "```"
# A text that ends so is not cut in the middle of a sentence. These are the most common ends.
ENDS = frozenset(".!?:)\"'\u2019\u201d\u2026\u3002\uff01\uff1f")

_APOSTROPHE = "['\u2019]"
_SORRY = rf"(?:i{_APOSTROPHE}?m|i am) (?:\w+ )?sorry|sorry|apologies|i apologi[sz]e"
_UNABLE = (
    rf"i (?:can(?:{_APOSTROPHE}t|not)|won{_APOSTROPHE}t|will not|am (?:not able|unable) to)"
    rf"|i{_APOSTROPHE}m (?:not able|unable) to"
)
_WHAT = (
    r"(?:help|assist|provide|comply|fulfil|do (?:that|this)|create|write|generate|answer|support"
    r"|engage|discuss|give|share|continue|participate|offer|respond)"
)
_AI = r"as an ai(?: language)?(?: model| assistant)?[^.]{0,60}?,? "
REFUSAL = re.compile(
    rf"\s*(?:(?:{_SORRY})[,.!]? (?:but |however,? )?(?:{_AI})?(?:{_UNABLE})"
    rf"|(?:{_UNABLE}) {_WHAT}"
    rf"|{_AI}(?:{_UNABLE}|i (?:don{_APOSTROPHE}t|do not)))",
    re.IGNORECASE,
)
REFUSAL_STARTS = frozenset("iIsSaA \n")


def found(rows: Sequence[Row], parts: Sides) -> Iterator[tuple[str, int]]:
    """Yield a code and the index of a row, for each finding. One may come twice."""
    prompt, chosen, rejected = parts
    for index, same in enumerate(map(eq, chosen.folded, rejected.folded)):
        if same:
            yield "whitespace", index
    has_code = FENCE in "\0".join(chosen.texts)
    for index, text in enumerate(chosen.texts):
        if text[:1] in REFUSAL_STARTS and is_refusal(text):
            yield "refusal", index
        if (text[-1:] not in ENDS or (has_code and FENCE in text)) and is_cut(text):
            yield "cut", index
    others = {*prompt.others, *chosen.others, *rejected.others}
    for index in {*_begin_alike(prompt, chosen), *_begin_alike(prompt, rejected), *others}:
        row = rows[index]
        if repeats(row["prompt"], row["chosen"]) or repeats(row["prompt"], row["rejected"]):
            yield "repeats_prompt", index
    for index in others:  # a row of three single turns has an order
        if is_out_of_order(rows[index]):
            yield "role_order", index


def _begin_alike(prompt: Side, answer: Side) -> list[int]:
    """The rows whose answer may begin with the prompt: its folded text does."""
    texts = zip(answer.folded, prompt.folded, strict=True)
    return [index for index, (said, asked) in enumerate(texts) if said.startswith(asked)]


def is_refusal(answer: str) -> bool:
    """Whether an answer begins like an English refusal."""
    return answer[:1] in REFUSAL_STARTS and REFUSAL.match(answer) is not None


def is_cut(answer: str) -> bool:
    """Whether an answer ends in a code block that is not closed, or in the middle of a sentence.

    A sentence is cut if a long last line of several sentences ends in a letter or a comma.
    """
    text = answer.rstrip()
    last = text[-1:]
    if FENCE in text:
        return text.count(FENCE) % 2 == 1
    if not (last.isalpha() or last in GOES_ON) or WITHOUT_SPACES.match(last):
        return False
    line = text[text.rfind("\n") + 1 :]
    return (
        len(line) >= CUT_LINE
        and SENTENCE.search(line) is not None
        and LIST_ENTRY.match(line) is None
    )


def repeats(prompt: Sequence[Turn], answer: Sequence[Turn] | None) -> bool:
    """Whether an answer begins with the text of the prompt's last turn."""
    if not answer:
        return False
    asked = (prompt[-1].get("content") or "").strip()
    return len(asked) >= LONG and (answer[0].get("content") or "").lstrip().startswith(asked)


def is_out_of_order(row: Row) -> bool:
    """Whether two user's or two assistant's turns follow each other in a conversation, or a system
    message follows another turn.
    """
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    if len(prompt) == 1 and len(chosen) == 1 and (rejected is None or len(rejected) == 1):
        return False
    return any(
        _breaks_order([*prompt, *answer]) for answer in (chosen, rejected) if answer is not None
    )


def _breaks_order(turns: Sequence[Turn]) -> bool:
    before = None
    for turn in turns:
        role = turn["role"]
        # An assistant may speak again after it called a tool.
        if before is not None and (role == "system" or (role == before and len(turn) == 2)):
            return True
        before = role
    return False
