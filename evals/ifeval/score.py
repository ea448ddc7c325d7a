"""Which instructions answers follow, and the four accuracies of IFEval with intervals."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals import statistics
from evals.ifeval.checkers import CHECKERS
from evals.prompts import BadPrompt
from evals.statistics import Estimate

# Their letters are `#` and `!`, which the official checker replaces by a random letter.
RANDOM_OFFICIALLY = frozenset({1122, 1129})


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt and its instructions: an id of `CHECKERS` with its arguments each."""

    key: int
    text: str
    instructions: tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Followed:
    """For each instruction of a prompt: whether the answer follows it."""

    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


@dataclass(frozen=True)
class Scores:
    """The four accuracies; None without an answer. The last shows each kind of instruction."""

    prompt_strict: Estimate | None
    prompt_loose: Estimate | None
    instruction_strict: Estimate | None
    instruction_loose: Estimate | None
    by_kind: dict[str, Estimate]


def read(row: Mapping[str, Any]) -> Prompt:
    """Read a row of the official prompt file: `key`, `prompt`, `instruction_id_list`, `kwargs`.

    Raises BadPrompt with what is wrong. Arguments that are null are left out, as officially.
    """
    ids, arguments = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(row.get("key"), int) or not isinstance(row.get("prompt"), str):
        raise BadPrompt("A row needs `key`, a whole number, and `prompt`, a text.")
    if not isinstance(ids, list) or not isinstance(arguments, list) or len(ids) != len(arguments):
        raise BadPrompt("`instruction_id_list` and `kwargs` are lists of the same length.")
    return Prompt(row["key"], row["prompt"], tuple(map(_instruction, ids, arguments)))


def _instruction(kind: object, arguments: object) -> tuple[str, dict[str, Any]]:
    checker = CHECKERS.get(kind) if isinstance(kind, str) else None
    if checker is None:
        raise BadPrompt(f"Instruction `{kind}` is not known.")
    if not isinstance(arguments, dict):
        raise BadPrompt(f"The `kwargs` of `{kind}` are no object.")
    given = {name: value for name, value in arguments.items() if value is not None}
    signature = inspect.signature(checker)
    try:
        signature.bind("", **given)
        for name, value in given.items():
            given[name] = _typed(name, value, signature.parameters[name].annotation)
        checker("An answer.", **given)
    except (TypeError, ValueError) as error:
        raise BadPrompt(f"The `kwargs` of `{kind}` don't fit: {error}") from error
    return str(kind), given


def _typed(name: str, value: object, kind: object) -> object:
    """Return an argument with its checker's type. Raises TypeError if it has another one: an answer
    could make the checker fail.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)  # as tables have them
    if kind is int and not is_number:
        raise TypeError(f"`{name}` is no whole number.")
    if kind is str and not isinstance(value, str):
        raise TypeError(f"`{name}` is no text.")
    is_texts = isinstance(value, list) and all(isinstance(text, str) for text in value)
    if kind not in (int, str) and not is_texts:
        raise TypeError(f"`{name}` is no list of texts.")
    return value


def check(prompt: Prompt, answer: str) -> Followed:
    """Check an answer. An empty one follows nothing.

    Strict takes the answer as it is. Loose also accepts it without its first line, its last line or
    both, and each of these without stars.
    """
    versions = _versions(answer)
    strict = tuple(_follows(instruction, versions[:1]) for instruction in prompt.instructions)
    loose = tuple(
        already or _follows(instruction, versions[1:])
        for already, instruction in zip(strict, prompt.instructions, strict=True)
    )
    return Followed(strict, loose)


def _follows(instruction: tuple[str, dict[str, Any]], versions: Sequence[str]) -> bool:
    kind, arguments = instruction
    return any(CHECKERS[kind](version, **arguments) for version in versions)


def scores(followed: Mapping[Prompt, Followed], seed: int = 0) -> Scores:
    """Return the accuracies over the prompts that were answered.

    A prompt counts if all its instructions are followed; an instruction counts by itself, and those
    of one prompt stay together in the bootstrap.
    """
    by_kind: dict[str, dict[int, list[float]]] = {}
    for prompt, result in followed.items():
        for (kind, _), follows in zip(prompt.instructions, result.strict, strict=True):
            by_kind.setdefault(kind, {}).setdefault(prompt.key, []).append(float(follows))
    return Scores(
        prompt_strict=_mean({p.key: [all(f.strict)] for p, f in followed.items()}, seed),
        prompt_loose=_mean({p.key: [all(f.loose)] for p, f in followed.items()}, seed),
        instruction_strict=_mean({p.key: f.strict for p, f in followed.items()}, seed),
        instruction_loose=_mean({p.key: f.loose for p, f in followed.items()}, seed),
        by_kind={
            kind: found
            for kind, values in sorted(by_kind.items())
            if (found := statistics.mean(values, seed))
        },
    )


def _mean(values: Mapping[int, Sequence[bool]], seed: int) -> Estimate | None:
    return statistics.mean({key: list(map(float, group)) for key, group in values.items()}, seed)


def _versions(answer: str) -> list[str]:
    """Return the answer and, without repetition, its loose versions; none that is blank.

    The first is the answer itself: if it is blank, so are all others.
    """
    lines = answer.split("\n")
    parts = [lines[1:], lines[:-1], lines[1:-1]]
    shorter = [answer, *("\n".join(part).strip() for part in parts)]
    versions = [*shorter, *(version.replace("*", "") for version in shorter)]
    return [version for version in dict.fromkeys(versions) if version.strip()]
