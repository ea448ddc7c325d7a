"""The row that most files are made of: three texts, and nothing else that is read.

Brings it to its normal form in a third of the time of the general form (`row_shapes.py`), which
gives the same; `tests/orpo/test_plain.py` compares them. Knows what is certain of such a row, and
leaves every other one to the general form.
"""

from typing import Any

from orpo.rows.columns import HARMLESS
from orpo.rows.messages import STARTS
from orpo.rows.values import is_utf8

PAIR = ("prompt", "chosen", "rejected")
# Facts of any value are no reason to look further; each other key is.
KEYS = HARMLESS.union(PAIR)
SPACES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
# A text that begins so may be blank, a transcript, or messages that are spelled in JSON.
FIRST = frozenset(("", *STARTS, *SPACES))


def plain(value: Any, line: int) -> dict[str, Any] | None:
    """The row of an accepted pair as `Pair.to_json` gives it; None if it takes a closer look.

    No remark is due on a row that is accepted here.
    """
    if value.__class__ is not dict or not value.keys() <= KEYS:
        return None
    prompt, chosen, rejected = value.get("prompt"), value.get("chosen"), value.get("rejected")
    if chosen == rejected:
        return None
    for text in (prompt, chosen, rejected):
        if text.__class__ is not str or text[:1] in FIRST or "\0" in text or not is_utf8(text):
            return None
    return {
        "line": line,
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }
