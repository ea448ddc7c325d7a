"""A judge's prompt for two answers, and the verdict in its reply.

For the everyday question, whether one model's answer is better than another's, with a prompt of our
own or of the user's. The suites with official prompts have modules of their own.
"""

import re

PLACES = ("{prompt}", "{first}", "{second}")
_VERDICT = re.compile(r"\[\[\s*(A|B|tie)\s*\]\]", re.IGNORECASE)
_VALUES = {"a": 1.0, "tie": 0.5, "b": 0.0}

TEMPLATE = """\
Compare two answers to the same request. Judge whether each does what the request asks, whether \
what it says is right, and whether it is clear. A longer answer is not better for its length, and \
the order of the answers means nothing.

# Request
{prompt}

# Answer A
{first}

# Answer B
{second}

Give your reasons in at most three sentences. Then write your verdict in the last line: [[A]] if \
answer A is better, [[B]] if answer B is better, [[tie]] if they are equally good.
"""


def problem(template: str) -> str | None:
    """Return what is wrong with a judge's prompt; None if it can be used."""
    missing = [place for place in PLACES if place not in template]
    if missing:
        return f"The judge's prompt lacks {' and '.join(f'`{place}`' for place in missing)}."
    return None


def verdict(reply: str) -> float | None:
    """Read a verdict on the answer that was shown first: 1 better, 0.5 equal, 0 worse.

    None if the reply has no verdict, or two that contradict each other: which of them the judge
    means can't be known.
    """
    found = {value.lower() for value in _VERDICT.findall(reply)}
    return _VALUES[found.pop()] if len(found) == 1 else None
