"""What a judge is asked in each suite, and how its reply is read.

`custom` and the agreement with people use `pairwise`, AlpacaEval its ranking (version 1) or one
token with logprobs (version 2), MT-Bench a rating. The official prompts of the last two are data of
the user's installation: they are passed as the judge's prompt of an evaluation, as they are
published. Without one, prompts of our own are used, and the numbers are not the official ones.

What reads a reply is imported when it is needed: checking a prompt needs no numpy.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from evals import pairwise

Message = dict[str, Any]


class Style(StrEnum):
    """How a verdict is asked for and read."""

    PAIRWISE = "pairwise"
    RANKING = "ranking"
    LOGPROBS = "logprobs"
    RATING = "rating"


# Names that a judge's prompt may use for the request and for both answers: ours, AlpacaEval's.
NAMES = (("{prompt}", "{instruction}"), ("{first}", "{output_1}"), ("{second}", "{output_2}"))
FIELDS = ("prompt", "first", "second")
_CHATML = re.compile(r"<\|im_start\|>(system|user|assistant)\n(.*?)<\|im_end\|>", re.DOTALL)
_RANKED = "model_1"
OFFICIAL = ("single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn")

LETTER_TEMPLATE = """\
Two models have answered the same request. Decide which answer people would prefer: it does what \
the request asks, and what it says is right and clear. The order of the answers means nothing.

# Request
{prompt}

# Answer of the model "m"
{first}

# Answer of the model "M"
{second}

Reply with the name of the better model only, one letter: m or M.
"""
RATING_TEMPLATE = """\
Rate the last answer of an assistant from 1 (useless) to 10 (as good as it can be). Judge whether \
it does what the request asks, whether what it says is right, and whether it is clear. A longer \
answer is not better for its length.

{conversation}
Give your reasons in at most three sentences. Then write the rating in the last line, in double \
brackets, such as [[5]].
"""


@dataclass(frozen=True)
class Reply:
    """What a judge wrote. `logprobs` are those of its first token's most likely candidates."""

    text: str
    finish_reason: str | None = None
    logprobs: Mapping[str, float] | None = None


def style_of(suite: str, template: str | None = None) -> Style:
    """Return how a suite's verdicts are read.

    AlpacaEval's first version calls the models `model_1` and `model_2` and asks for a ranking; a
    prompt with these names is read so.
    """
    if suite == "mt_bench":
        return Style.RATING
    if suite == "alpaca_eval":
        return Style.RANKING if template and _RANKED in template else Style.LOGPROBS
    return Style.PAIRWISE


def problem(suite: str, template: str) -> str | None:
    """Return what is wrong with a judge's prompt for a suite; None if it can be used."""
    if suite == "mt_bench":
        return _rating_problem(template)
    if suite != "alpaca_eval":
        return pairwise.problem(template)
    missing = [names for names in NAMES if not any(name in template for name in names)]
    if missing:
        listed = " and ".join(f"`{ours}` (or `{theirs}`)" for ours, theirs in missing)
        return f"The judge's prompt lacks {listed}."
    return None


def compare(
    suite: str, template: str | None, prompt: str, first: str, second: str
) -> list[Message]:
    """Return the messages that ask a judge which of two answers is better.

    A prompt in the form `<|im_start|>system ... <|im_end|>`, as AlpacaEval publishes its own, is
    split into messages before it is filled: an answer can't add a message.
    """
    default = LETTER_TEMPLATE if suite == "alpaca_eval" else pairwise.TEMPLATE
    values = {
        name: value
        for names, value in zip(NAMES, (prompt, first, second), strict=True)
        for name in names[: 2 if suite == "alpaca_eval" else 1]
    }
    shown = template or default
    parts = [(found[1], found[2].strip()) for found in _CHATML.finditer(shown)]
    return [
        {"role": role, "content": _fill(text, values)} for role, text in parts or [("user", shown)]
    ]


def rate(
    template: str | None,
    category: str | None,
    questions: Sequence[str],
    answers: Sequence[str],
    references: Sequence[str] = (),
) -> list[Message]:
    """Return the messages that ask a judge to rate the last of one or two answers.

    `template` is the official file of prompts, one JSON object a line; the category and the turn
    choose one of them. `references` are the answers that categories such as math are rated against,
    where the file has them.
    Raises ValueError for a template that `problem` finds fault with.
    """
    if template is None:
        conversation = _conversation(questions, answers, references)
        text = _fill(RATING_TEMPLATE, {"{conversation}": conversation})
        return [{"role": "user", "content": text}]
    from evals import mt_bench  # noqa: PLC0415 - needs numpy

    # A prompt with places for references is of no use without one.
    name = mt_bench.judge_prompt((category or "") if references else "", len(answers))
    chosen = _official(template)[name]
    filled = _fill(chosen["prompt_template"], _official_values(questions, answers, references))
    system = chosen.get("system_prompt")
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": filled}]


def read(style: Style, reply: Reply) -> float | None:
    """Read a reply: 1, 0.5 or 0 for the answer that was shown first, a probability, or a rating;
    None if the reply has none.
    """
    from evals import alpaca_eval, mt_bench  # noqa: PLC0415 - need numpy

    if style is Style.LOGPROBS:
        return alpaca_eval.preference(reply.logprobs) if reply.logprobs else None
    if style is Style.RANKING:
        return alpaca_eval.ranking(reply.text)
    if style is Style.RATING:
        return mt_bench.rating(reply.text)
    return pairwise.verdict(reply.text)


def as_text(messages: Sequence[Message]) -> str:
    """Write a conversation as one text for a judge: a single request stands as it is."""
    if len(messages) == 1:
        return _content(messages[0])
    return "\n\n".join(f"[{each.get('role', '')}]\n{_content(each)}" for each in messages)


def _content(message: Message) -> str:
    content = message.get("content") or ""
    calls = message.get("tool_calls")
    called = json.dumps([call.get("function") for call in calls]) if calls else ""
    return "\n".join(part for part in (content, called) if part)


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Fill all places at once: an answer that holds a place's name is shown as it is."""
    places = re.compile("|".join(map(re.escape, values)))
    return places.sub(lambda match: values[match[0]], template)


def _conversation(
    questions: Sequence[str], answers: Sequence[str], references: Sequence[str]
) -> str:
    parts: list[str] = []
    for at, answer in enumerate(answers):
        parts += [f"# Request {at + 1}", questions[at]]
        if at < len(references):
            parts += [f"# An answer to request {at + 1} that is right", references[at]]
        parts += [f"# Answer {at + 1}", answer]
    return "".join(f"{part}\n" for part in parts)


def _official_values(
    questions: Sequence[str], answers: Sequence[str], references: Sequence[str]
) -> dict[str, str]:
    values = {"{question}": questions[0], "{answer}": answers[-1]}
    for at in range(2):
        number = at + 1
        values[f"{{question_{number}}}"] = questions[at] if at < len(questions) else ""
        values[f"{{answer_{number}}}"] = answers[at] if at < len(answers) else ""
        values[f"{{ref_answer_{number}}}"] = references[at] if at < len(references) else ""
    return values


def _official(template: str) -> dict[str, dict[str, str]]:
    rows = [json.loads(line) for line in template.splitlines() if line.strip()]
    return {row["name"]: row for row in rows}


def _rating_problem(template: str) -> str | None:
    try:
        found = _official(template)
        missing = [name for name in OFFICIAL if not _is_official(found.get(name, {}))]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return (
            "The judge's prompt of MT-Bench is the official file of prompts, one JSON object a "
            "line with `name` and `prompt_template`."
        )
    if missing:
        return f"The judge's prompts lack a usable `{missing[0]}`."
    return None


def _is_official(row: Mapping[str, Any]) -> bool:
    system = row.get("system_prompt")
    return isinstance(row.get("prompt_template"), str) and (
        system is None or isinstance(system, str)
    )
