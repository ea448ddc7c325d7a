"""Pairs of messages as text: a rendered prompt, two rendered answers, and the spans to train.

Knows chat templates; knows nothing of token ids and lengths.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from orpo.contract.hyperparameters import Reasoning, Turns
from orpo.rows.formats import Message, Pair, Reject
from orpo.rows.values import strings
from orpo.tokens.special_text import special_tokens
from orpo.tokens.templates import render_text
from orpo.tokens.thoughts import (
    has_thoughts,
    is_open,
    lost_from,
    within_thought,
    without_thoughts,
)
from orpo.tokens.tool_text import Tools, has_tools, require_shown

STAND_IN = "(here stands the answer)"
LOST = (
    "The model's chat template leaves out text of the answer, such as a thought that ends in "
    "</think>. The trained text would differ from the row."
)
REWRITES = "The chat template rewrites the turn before the last answer."
LOST_THOUGHT = f"{LOST} Set reasoning to strip or auto to train without thoughts."


@dataclass(frozen=True)
class Side:
    """A rendered sequence. A trained span is given by two of its prefixes: up to its start, up to
    its end.
    """

    text: str
    spans: list[tuple[str, str]]


@dataclass(frozen=True)
class Draft:
    """A pair rendered but not yet tokenised.

    `is_stripped` says that thoughts were taken out of its answers, `is_forgetful` that the template
    leaves out thoughts of earlier turns.
    """

    line: int
    prompt: str
    chosen: Side
    rejected: Side | None
    is_stripped: bool = False
    is_forgetful: bool = False
    has_tools: bool = False

    def sides(self) -> list[Side]:
        """The chosen side, and the rejected one if there is one."""
        return [self.chosen] if self.rejected is None else [self.chosen, self.rejected]

    def texts(self) -> Iterator[str]:
        """All texts whose tokens are needed."""
        yield self.prompt
        for side in self.sides():
            yield side.text
            for span in side.spans:
                yield from span


class Renderer:
    """Renders pairs with one tokenizer's template."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        turns: Turns,
        reasoning: Reasoning = Reasoning.AUTO,
    ):
        self.tokenizer, self.turns, self.reasoning = tokenizer, turns, reasoning
        special = "|".join(map(re.escape, sorted(special_tokens(tokenizer))))
        # Matches the special tokens that a template may end a turn with.
        self.end_of_turn = re.compile(special) if special else None

    def draft(self, pair: Pair) -> Draft:
        """The pair as text, with or without the thoughts of its answers.

        Raises `Reject("template")` where the template refuses it, `Reject("answer_lost")` where
        the template leaves out text that is to be trained, and `Reject("tools")` where it leaves
        out a tool's definition, call or result.
        """
        thinks = has_thoughts(pair.chosen) or has_thoughts(pair.rejected)
        if thinks and self.reasoning is Reasoning.STRIP:
            return self._draft(without_thoughts(pair), is_stripped=True)
        try:
            return self._draft(pair)
        except Reject as lost:
            # What the template cut off ends in </think>, with or without <think> before it.
            answers = (pair.chosen, pair.rejected)
            thinks = any(has_thoughts(turns, unopened=True) for turns in answers)
            if not thinks or lost.code != "answer_lost":
                raise
            if self.reasoning is Reasoning.KEEP:
                raise Reject(lost.code, LOST_THOUGHT) from lost
            return self._draft(without_thoughts(pair, unopened=True), is_stripped=True)

    def _draft(self, pair: Pair, *, is_stripped: bool = False) -> Draft:
        chat = _Chat(self.tokenizer, self.turns, self.end_of_turn, pair.tools)
        prompt = chat.text(pair.prompt, add_generation_prompt=True)
        answers = [pair.chosen] if pair.rejected is None else [pair.chosen, pair.rejected]
        use_tools = False
        for answer in answers:
            if has_tools(messages := pair.prompt + answer, pair.tools):
                require_shown(chat.shown, messages, pair.tools)
                use_tools = True
        sides = [chat.side(prompt, pair.prompt, answer) for answer in answers]
        forgets = lost_from(pair.prompt, prompt) or any(
            lost_from(answer[:-1], side.text) for answer, side in zip(answers, sides, strict=True)
        )
        rejected = sides[1] if len(sides) > 1 else None
        return Draft(
            pair.line, prompt, sides[0], rejected, is_stripped, forgets, has_tools=use_tools
        )


@dataclass(frozen=True)
class _Chat:
    """Conversations of one pair as text: the tools are the same in all of them."""

    tokenizer: PreTrainedTokenizerBase
    turns: Turns
    end_of_turn: re.Pattern[str] | None
    tools: Tools

    def text(self, messages: list[Message], *, add_generation_prompt: bool) -> str:
        return render_text(self.tokenizer, messages, add_generation_prompt, tools=self.tools)

    def shown(self, messages: list[Message], tools: Tools) -> str:
        """The conversation as text, with other tools."""
        return render_text(self.tokenizer, messages, add_generation_prompt=False, tools=tools)

    def side(self, prompt_text: str, prompt: list[Message], answer: list[Message]) -> Side:
        """An answer after its prompt."""
        messages = prompt + answer
        text = self.text(messages, add_generation_prompt=False)
        if text.startswith(prompt_text):
            after = text[len(prompt_text) :]
        else:
            after = self._after_prompt(text, prompt)
        if is_open(prompt_text):
            after = within_thought(after)
        text = self._end_at_turn(prompt_text + after)
        spans = list(self._spans(text, prompt_text, len(prompt), messages))
        if not spans:
            raise Reject("template", REWRITES)
        return Side(text, spans)

    def _spans(
        self, text: str, prompt_text: str, n_prompt: int, messages: list[Message]
    ) -> Iterator[tuple[str, str]]:
        trained = [
            at
            for at, turn in enumerate(messages)
            if turn["role"] == "assistant" and turn.get("weight", 1)
        ]
        for at in trained[-1:] if self.turns is Turns.LAST else trained:
            start = prompt_text
            if at != n_prompt:
                start = self.text(messages[:at], add_generation_prompt=True)
            if not text.startswith(start):
                if at == trained[-1]:
                    raise Reject("template", REWRITES)
                continue  # the template rewrites earlier turns: this rendering never occurred
            end = (
                text if at == len(messages) - 1 else self._turn_end(text, len(start), messages, at)
            )
            if _holds(end, start, messages[at]["content"]) and self._shows_thought(messages, at):
                yield start, end
            elif at >= n_prompt:
                raise Reject("answer_lost", LOST)

    def _shows_thought(self, messages: list[Message], at: int) -> bool:
        """Whether the template shows the thought beside a turn's content, which may be short."""
        turn = messages[at]
        if "reasoning_content" not in turn:
            return True
        marked = turn.copy()
        marked["reasoning_content"] = STAND_IN
        shown = self.text(
            [*messages[:at], marked, *messages[at + 1 :]], add_generation_prompt=False
        )
        return STAND_IN in shown

    def _after_prompt(self, text: str, prompt: list[Message]) -> str:
        """The answer and its end, for a template whose generation prompt does not occur in its
        history.

        (Reasoning templates open a thought in the generation prompt and drop it from past turns.) A
        placeholder shows where the template puts the answer; the answer's own text may occur
        elsewhere.
        """
        stand_in = [*prompt, Message(role="assistant", content=STAND_IN)]
        head = self.text(stand_in, add_generation_prompt=False).partition(STAND_IN)[0]
        if not text.startswith(head):
            raise Reject("template", "The chat template renders the prompt differently each time.")
        return text[len(head) :]

    def _end_at_turn(self, text: str) -> str:
        """`text` up to and including the token that ends its last turn: the model learns to stop
        with it.
        """
        ends = (
            [match.end() for match in self.end_of_turn.finditer(text)] if self.end_of_turn else []
        )
        if ends and not text[ends[-1] :].strip():
            return text[: ends[-1]]
        eos: Any = self.tokenizer.eos_token
        return text.rstrip() + (eos if isinstance(eos, str) else "")

    def _turn_end(self, text: str, start: int, messages: list[Message], at: int) -> str:
        """`text` up to the end of an earlier turn."""
        turn = messages[at]
        if turn.get("tool_calls"):
            # Marks of a call may be special tokens, too; the first one need not end the turn.
            alone = self._end_at_turn(self.text(messages[: at + 1], add_generation_prompt=False))
            if text.startswith(alone):
                return alone
        end = start
        for part in _parts(turn):
            found = text.find(part, end)
            end = end if found < 0 else found + len(part)
        match = self.end_of_turn.search(text, end) if self.end_of_turn else None
        return text[: match.end() if match else end]


def _parts(turn: Message) -> Iterator[str]:
    """Texts of a turn in the order in which templates write them."""
    yield turn["content"].strip()
    for call in turn.get("tool_calls", ()):
        yield call["function"]["name"]
        given = call["function"]["arguments"]
        yield from (each for each in strings(given) if each)


def _holds(text: str, start: str, content: str) -> bool:
    """Whether `text` holds `content` after its prefix `start`, white space aside.

    (Templates that write a thought in their own form change the white space around it.) The content
    may begin in `start`: a generation prompt opens a thought that the answer opens, too.
    """
    return _ends_after(text, start, content.strip()) or _ends_after(
        *("".join(each.split()) for each in (text, start, content))
    )


def _ends_after(text: str, start: str, content: str) -> bool:
    """Whether `content` occurs in `text` and ends after its prefix `start`."""
    return not content or text.find(content, max(0, len(start) - len(content) + 1)) >= 0
