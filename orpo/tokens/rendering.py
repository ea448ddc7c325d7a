"""Pairs of messages as text: a rendered prompt, two rendered answers, and the spans to train.

Knows chat templates; knows nothing of token ids and lengths.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from orpo.contract.hyperparameters import Turns
from orpo.rows.formats import Message, Pair, Reject
from orpo.tokens.special_text import special_tokens
from orpo.tokens.templates import render_text

STAND_IN = "(here stands the answer)"
LOST = (
    "The model's chat template leaves out text of the answer, such as a thought that ends in "
    "</think>. The trained text would differ from the row."
)


@dataclass(frozen=True)
class Side:
    """A rendered sequence. A trained span is given by two of its prefixes: up to its start, up to
    its end.
    """

    text: str
    spans: list[tuple[str, str]]


@dataclass(frozen=True)
class Draft:
    """A pair rendered but not yet tokenised."""

    line: int
    prompt: str
    chosen: Side
    rejected: Side | None

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

    def __init__(self, tokenizer: PreTrainedTokenizerBase, turns: Turns):
        self.tokenizer, self.turns = tokenizer, turns
        special = "|".join(map(re.escape, sorted(special_tokens(tokenizer))))
        # Matches the special tokens that a template may end a turn with.
        self.end_of_turn = re.compile(special) if special else None

    def draft(self, pair: Pair) -> Draft:
        """The pair as text.

        Raises `Reject("template")` where the template refuses it, and `Reject("answer_lost")` where
        the template leaves out text that is to be trained.
        """
        prompt = self._text(pair.prompt, add_generation_prompt=True)
        chosen = self._side(prompt, pair.prompt, pair.chosen)
        rejected = None if pair.rejected is None else self._side(prompt, pair.prompt, pair.rejected)
        return Draft(pair.line, prompt, chosen, rejected)

    def _text(self, messages: list[Message], *, add_generation_prompt: bool) -> str:
        return render_text(self.tokenizer, messages, add_generation_prompt)

    def _side(self, prompt_text: str, prompt: list[Message], answer: list[Message]) -> Side:
        messages = prompt + answer
        text = self._text(messages, add_generation_prompt=False)
        if not text.startswith(prompt_text):
            text = prompt_text + self._after_prompt(text, prompt)
        text = self._end_at_turn(text)
        spans = list(self._spans(text, prompt_text, len(prompt), messages))
        if not spans:
            raise Reject("template", "The chat template rewrites the turn before the last answer.")
        return Side(text, spans)

    def _spans(
        self, text: str, prompt_text: str, n_prompt: int, messages: list[Message]
    ) -> Iterator[tuple[str, str]]:
        trained = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
        for at in trained[-1:] if self.turns is Turns.LAST else trained:
            start = prompt_text
            if at != n_prompt:
                start = self._text(messages[:at], add_generation_prompt=True)
            if not text.startswith(start):
                continue  # the template rewrites earlier turns: this rendering never occurred
            content, is_last = messages[at]["content"], at == len(messages) - 1
            end = text if is_last else self._turn_end(text, len(start), content)
            if _holds(end, start, content):
                yield start, end
            elif at >= n_prompt:
                raise Reject("answer_lost", LOST)

    def _after_prompt(self, text: str, prompt: list[Message]) -> str:
        """The answer and its end, for a template whose generation prompt does not occur in its
        history.

        (Reasoning templates open a thought in the generation prompt and drop it from past turns.) A
        placeholder shows where the template puts the answer; the answer's own text may occur
        elsewhere.
        """
        stand_in = [*prompt, Message(role="assistant", content=STAND_IN)]
        head = self._text(stand_in, add_generation_prompt=False).partition(STAND_IN)[0]
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

    def _turn_end(self, text: str, start: int, content: str) -> str:
        content = content.strip()
        at = text.find(content, start)
        at = start if at < 0 else at + len(content)
        match = self.end_of_turn.search(text, at) if self.end_of_turn else None
        return text[: match.end() if match else at]


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
