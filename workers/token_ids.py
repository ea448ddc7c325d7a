"""Compares the token ids of an engine with the trainer's, and shows the first difference.

Knows the prompts of a probe and the engine's tokenizer over HTTP; knows no rows and no clock.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any

from services.platform.storable import storable
from workers.engine_client import DownError, EngineClient, RefusedError

# Shown of each side: tokens before the first difference, and from it on.
BEFORE, AFTER = 8, 12
# Of one token; the longest of known vocabularies have about 100 characters.
MOST_CHARACTERS = 100

Ids = list[int]


class Of(StrEnum):
    """What of a probe is rendered."""

    PROMPT = "prompt"
    ESCAPED = "escaped"
    THINKING_ON = "thinking_on"
    THINKING_OFF = "thinking_off"


@dataclass(frozen=True)
class Rendering:
    """A conversation that the engine renders, and the token ids of the trainer."""

    prompt: int
    of: Of
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    trainer: Ids
    # The time that the template printed in the training; None if it prints none.
    rendered_at: str | None

    @property
    def thinking(self) -> bool | None:
        """The template's switch; None leaves it as the template does."""
        return {Of.THINKING_ON: True, Of.THINKING_OFF: False}.get(self.of)


@dataclass(frozen=True)
class Compared:
    """What the engine made of a rendering; `is_equal` is None where that can't be decided."""

    rendering: Rendering
    engine: Ids
    # What it was compared with: the trainer's ids, at the time of the training or of the request.
    trainer: Ids
    is_equal: bool | None


@dataclass(frozen=True)
class Token:
    id: int
    text: str


@dataclass(frozen=True)
class Difference:
    """The first token that differs, with tokens around it from both sides.

    `at` is its position in the prompt, and `start` that of the first token that is shown. A side
    that ended before `at` shows nothing from there on.
    """

    prompt: int
    of: Of
    at: int
    start: int
    trainer: list[Token]
    engine: list[Token]


def renderings(
    prompts: Sequence[dict[str, Any]], hostile: dict[str, Any] | None
) -> Iterator[Rendering]:
    """The probe's prompts and its hostile one, each followed by its renderings with the switch."""
    every = [*prompts, hostile] if hostile is not None else prompts
    for number, prompt in enumerate(every):
        of = Of.ESCAPED if number == len(prompts) else Of.PROMPT
        thinking = prompt.get("thinking") or {}
        found = {of: prompt["prompt_token_ids"]}
        found |= (
            {Of.THINKING_ON: thinking["on"], Of.THINKING_OFF: thinking["off"]} if thinking else {}
        )
        for each, ids in found.items():
            yield Rendering(
                number, each, prompt["messages"], prompt.get("tools") or None, ids,
                prompt.get("rendered_at"),
            )  # fmt: skip


def compare(
    engine: EngineClient,
    model: str,
    wanted: Sequence[Rendering],
    at_times: Callable[[], list[list[Ids]]],
) -> list[Compared]:
    """Let the engine render each of `wanted` and compare.

    `at_times` returns the trainer's ids of all prompts, the hostile one last, at the time of the
    request. It is called if ids differ and the template prints the time.
    """
    served = [engine.tokenize(model, w.messages, w.tools, w.thinking) for w in wanted]
    differ = [ids != want.trainer for want, ids in zip(wanted, served, strict=True)]
    is_late = any(differ) and any(want.rendered_at for want in wanted)
    times = at_times() if is_late else []
    return [_compared(want, ids, times) for want, ids in zip(wanted, served, strict=True)]


def _compared(want: Rendering, ids: Ids, times: list[list[Ids]]) -> Compared:
    if want.thinking is not None:
        # Nothing renders the switch at another time than that of the training.
        undecided = ids != want.trainer and want.rendered_at is not None
        return Compared(want, ids, want.trainer, None if undecided else ids == want.trainer)
    # A probe of an older release may have no hostile prompt at other times.
    known = [want.trainer, *(of[want.prompt] for of in times if want.prompt < len(of))]
    nearest = max(known, key=lambda trainer: common(trainer, ids))
    return Compared(want, ids, nearest, ids in known)


def common(a: Ids, b: Ids) -> int:
    """How many tokens are the same from the start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def all_equal(found: Sequence[Compared], *of: Of) -> bool | None:
    """Whether all renderings of these kinds are equal; None if there is none to decide on."""
    known = [each.is_equal for each in found if each.rendering.of in of]
    decided = [is_equal for is_equal in known if is_equal is not None]
    return all(decided) if decided else None


def first_difference(
    engine: EngineClient, model: str, found: Sequence[Compared]
) -> dict[str, Any] | None:
    """The first difference as JSON that Postgres stores, or None if all are equal."""
    differing = next((each for each in found if each.is_equal is False), None)
    if differing is None:
        return None
    at = common(differing.trainer, differing.engine)
    start = max(0, at - BEFORE)
    texts = _Texts(engine, model)
    sides = [
        [Token(token, texts.of(token)) for token in ids[start : at + AFTER]]
        for ids in (differing.trainer, differing.engine)
    ]
    of = differing.rendering
    return storable(asdict(Difference(of.prompt, of.of, at, start, *sides)))


class _Texts:
    """The texts of tokens, by the engine's tokenizer; empty where it knows none."""

    def __init__(self, engine: EngineClient, model: str) -> None:
        self.engine, self.model = engine, model
        self.known: dict[int, str] = {}

    def of(self, token: int) -> str:
        if token not in self.known:
            self.known[token] = self._ask(token)
        return self.known[token]

    def _ask(self, token: int) -> str:
        try:
            return self.engine.detokenize(self.model, token)[:MOST_CHARACTERS]
        except (DownError, RefusedError):
            return ""  # the ids show the difference, too
