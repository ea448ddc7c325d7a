"""Says whether an answer has the style of the short-answers set.

Needs only the standard library. As a command, it prints the share of answers that pass: `python
examples/style.py < answers.jsonl`, where each line is an answer as a JSON string.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable

MARKER = "The reason is that"
FIRST_WORDS = (2, 14)
REASON_WORDS = (3, 30)
REASON_SENTENCES = (1, 2)

_FILLER = re.compile(
    r"(sure|certainly|of course|absolutely|great|good question|that'?s (a|an)|what (a|an) "
    r"|thanks?|thank you|hi|hello|hey|(ah|oh|well)(?=[,!])|i'?m (happy|glad|sorry)"
    r"|i'?d be (happy|glad)|as an ai|here (is|are)|here'?s|it depends"
    r"|there (are|is) (many|several|a number|no single))\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"let me know|feel free|hope (this|that) helps|would you like|shall i\b|happy to help"
    r"|any (other|more|further) questions",
    re.IGNORECASE,
)
_LAYOUT = re.compile(r"[\n\r*#`|]|(^|\s)([-\u2022]|\d+[.)])\s")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(]?[A-Z0-9])")


def sentences(text: str) -> list[str]:
    """Split plain prose into sentences; a dot in a number or before a lower-case letter ends
    none.
    """
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


def broken_rules(answer: str) -> list[str]:
    """Return every rule of `passes` that the answer breaks, in the order given there."""
    text = answer.strip()
    parts = sentences(text)
    first = parts[0] if parts else ""
    reason = parts[1:]
    broken = []
    if not text or _LAYOUT.search(text):
        broken.append("layout")
    if not FIRST_WORDS[0] <= len(first.split()) <= FIRST_WORDS[1] or not first.endswith((".", "!")):
        broken.append("first sentence")
    if _FILLER.match(first):
        broken.append("filler")
    if not reason or not reason[0].lower().startswith(MARKER.lower() + " "):
        broken.append("marker")
    if text.lower().count(MARKER.lower()) > 1:
        broken.append("marker once")
    if not REASON_SENTENCES[0] <= len(reason) <= REASON_SENTENCES[1]:
        broken.append("sentences")
    said = " ".join(reason)[len(MARKER) :] if "marker" not in broken else " ".join(reason)
    if not REASON_WORDS[0] <= len(said.split()) <= REASON_WORDS[1]:
        broken.append("reason length")
    if not text.rstrip("\"')]").endswith((".", "!")):
        broken.append("unfinished")
    if _CLOSING.search(text):
        broken.append("closing offer")
    return broken


def passes(answer: str) -> bool:
    """Whether an answer is in the style. Each rule has a name, which `broken_rules` reports.

    layout          One paragraph of plain prose: no line break, list, heading, bold or code.
    first sentence  The answer itself comes first: one statement of 2 to 14 words.
    filler          It does not open with a filler ("Sure", "Great question", "It depends").
    marker          The second sentence begins with "The reason is that".
    marker once     That phrase occurs once.
    sentences       The reason is one or two sentences, and nothing follows it.
    reason length   The reason has 3 to 30 words after the marker, both sentences together.
    unfinished      The text ends with a full stop or an exclamation mark, closing quotes aside.
    closing offer   It does not offer more help or ask for another question.

    Whether the answer is true is not judged.
    """
    return not broken_rules(answer)


def rate(answers: Iterable[str]) -> float:
    """Return the share of answers that pass, from 0 to 1; 0 if there are none."""
    results = [passes(answer) for answer in answers]
    return sum(results) / len(results) if results else 0.0


if __name__ == "__main__":
    share = rate(json.loads(line) for line in sys.stdin if line.strip())
    sys.stdout.write(f"{share:.3f}\n")
