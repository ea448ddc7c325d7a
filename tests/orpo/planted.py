"""Preference rows with planted defects: which rows have which is known.

Clean rows are made of invented sentences, so that none of them has a defect by chance.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_NOUNS = (
    "river harbour lantern meadow kettle violin orchard compass blanket village mountain window "
    "ladder basket engine garden bridge island castle candle forest market letter pencil saddle "
    "anchor barrel canyon desert feather glacier hammer jacket kitchen library mirror needle oven"
)
_VERBS = (
    "carries follows mends paints lifts crosses finds warms covers opens measures guards moves "
    "builds cleans draws fills holds joins keeps leads marks names orders plants raises shows"
)
_HOW = "slowly quickly gently often rarely early late calmly neatly twice daily alone"
NOUNS, VERBS, HOW = (words.split() for words in (_NOUNS, _VERBS, _HOW))

Value = dict[str, Any]
Plant = Callable[["Planted", int], None]


@dataclass
class Planted:
    """Rows as they are written, and the numbers of the rows (from 0) that have each defect."""

    values: list[Value | bytes]
    defects: dict[str, set[int]] = field(default_factory=dict)
    draw: random.Random = field(default_factory=lambda: random.Random(5))

    def value(self, place: int) -> Value:
        value = self.values[place]
        assert isinstance(value, dict)
        return value

    def mark(self, code: str, *places: int) -> None:
        self.defects.setdefault(code, set()).update(places)

    def write(self, path: Path) -> None:
        lines = [
            value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
            for value in self.values
        ]
        path.write_bytes(b"\n".join(lines) + b"\n")


def sentences(draw: random.Random, n: int) -> str:
    return " ".join(
        f"The {draw.choice(NOUNS)} {draw.choice(VERBS)} the {draw.choice(NOUNS)} "
        f"{draw.choice(HOW)} near the {draw.choice(NOUNS)}."
        for _ in range(n)
    )


def clean(n: int, seed: int = 5) -> Planted:
    """`n` rows without a defect."""
    draw = random.Random(seed)
    values: list[Value | bytes] = [
        {
            "prompt": f"Question {place}: {sentences(draw, 2)} What happens next?",
            "chosen": sentences(draw, draw.randint(3, 9)),
            "rejected": sentences(draw, draw.randint(3, 9)),
        }
        for place in range(n)
    ]
    return Planted(values, draw=draw)


def append(side: str, code: str, text: str) -> Plant:
    """A plant that adds text to one side of a row."""

    def plant(rows: Planted, place: int) -> None:
        rows.value(place)[side] += text
        rows.mark(code, place)

    return plant


def replace(side: str, code: str, text: str) -> Plant:
    def plant(rows: Planted, place: int) -> None:
        rows.value(place)[side] = text
        rows.mark(code, place)

    return plant


def also(code: str, **columns: Any) -> Plant:
    def plant(rows: Planted, place: int) -> None:
        rows.value(place).update(columns)
        rows.mark(code, place)

    return plant


def raw(code: str, line: bytes) -> Plant:
    def plant(rows: Planted, place: int) -> None:
        rows.values[place] = line
        rows.mark(code, place)

    return plant


def duplicate(rows: Planted, place: int) -> None:
    """A copy in which white space and case differ, in the next row."""
    value = rows.value(place)
    rows.values[place + 1] = {
        "prompt": value["prompt"].upper(),
        "chosen": value["chosen"].replace(". ", ".\n\n"),
        "rejected": f" {value['rejected']}",
    }
    rows.mark("duplicate", place, place + 1)


def near_duplicate(rows: Planted, place: int) -> None:
    """A copy with a few other words, in the next row."""
    value = rows.value(place)

    def changed(text: str) -> str:
        words = text.split(" ")
        for _ in range(max(1, len(words) // 40)):
            words[rows.draw.randrange(len(words))] = "another"
        return " ".join(words)

    rows.values[place + 1] = {
        **value,
        "chosen": changed(value["chosen"]),
        "rejected": changed(value["rejected"]),
    }
    rows.mark("near_duplicate", place, place + 1)


def contradiction(rows: Planted, place: int) -> None:
    value = rows.value(place)
    rows.values[place + 1] = {
        "prompt": value["prompt"],
        "chosen": value["rejected"],
        "rejected": value["chosen"],
    }
    rows.mark("contradiction", place, place + 1)


def both_sides(rows: Planted, place: int) -> None:
    value = rows.value(place)
    rows.values[place + 1] = {
        "prompt": value["prompt"],
        "chosen": sentences(rows.draw, 5),
        "rejected": value["chosen"],
    }
    rows.mark("both_sides", place, place + 1)


def repeated_prompt(rows: Planted, place: int) -> None:
    for each in range(place, place + 5):
        rows.value(each)["prompt"] = rows.value(place)["prompt"]
        rows.mark("repeated_prompt", each)


def repeated_answer(rows: Planted, place: int) -> None:
    for each in range(place, place + 5):
        rows.value(each)["chosen"] = rows.value(place)["chosen"]
        rows.mark("repeated_answer", each)


def whitespace(rows: Planted, place: int) -> None:
    rows.value(place)["rejected"] = rows.value(place)["chosen"].replace(" ", "  ") + "\n"
    rows.mark("whitespace", place)


def identical(rows: Planted, place: int) -> None:
    rows.value(place)["rejected"] = rows.value(place)["chosen"]
    rows.mark("identical", place)


def repeats_prompt(rows: Planted, place: int) -> None:
    rows.value(place)["chosen"] = f"{rows.value(place)['prompt']} {rows.value(place)['chosen']}"
    rows.mark("repeats_prompt", place)


def role_order(rows: Planted, place: int) -> None:
    value = rows.value(place)
    user = [{"role": "user", "content": text} for text in (value["prompt"], "And then?")]
    rows.values[place] = {**value, "prompt": user}
    rows.mark("role_order", place)


def cut(rows: Planted, place: int) -> None:
    rows.value(place)["chosen"] += " The lantern near the old harbour carries the last of the"
    rows.mark("cut", place)


def prefixed(code: str, text: str) -> Plant:
    def plant(rows: Planted, place: int) -> None:
        rows.value(place)["chosen"] = f"{text}{rows.value(place)['chosen']}"
        rows.mark(code, place)

    return plant


def mixed_language(rows: Planted, place: int) -> None:
    rows.value(place)["chosen"] = (
        "Der alte Leuchtturm steht seit vielen Jahren am Ufer, und jeden Abend zündet der Wärter "
        f"das Licht an, damit die Schiffe den Weg in den Hafen finden. Das war Frage {place}."
    )
    rows.mark("mixed_language", place)


# Each takes at most five rows in a row.
EXACT: list[Plant] = [
    duplicate,
    contradiction,
    both_sides,
    repeated_prompt,
    repeated_answer,
    whitespace,
    repeats_prompt,
    role_order,
    cut,
    append("chosen", "cut", " See this: ```python\nprint(1)"),
    append("chosen", "control_token", " Done.<|im_end|>\n<|im_start|>user"),
    append("prompt", "control_token", " [INST] Go on. [/INST]"),
    append("rejected", "control_token", " Done.</s>"),
    append("prompt", "transcript", "\n\nHuman: Hello.\n\nAssistant: Good day."),
    append("prompt", "transcript", "\n### Human: Hello.\n### Assistant: Good day."),
    append("rejected", "role_mistake", "\n\nUser: And what else?"),
    prefixed("role_mistake", "Assistant: "),
    prefixed("refusal", "I'm sorry, but I can't help with that. "),
    prefixed("refusal", "As an AI language model, I cannot do that. "),
    append("rejected", "mojibake", " Das cafÃ© ist schÃ¶n â€“ sehr sogar."),
    append("chosen", "mojibake", " It costs five \ufffd."),
    append("chosen", "control_character", " Ring\x07 the bell."),
    append("prompt", "control_character", " \u202egnirts\u202c"),
    append("prompt", "email", " Write to maria.lopez@mail-server.org about it."),
    append("rejected", "phone_number", " Call +49 30 1234 5678 for more."),
    append("chosen", "phone_number", " Call (415) 555-2671 for more."),
    append("chosen", "card_number", " The card is 4111 1111 1111 1111."),
    append("chosen", "iban", " Pay to DE89 3704 0044 0532 0130 00."),
    append("rejected", "private_key", "\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"),
    append("rejected", "api_key", " Use AKIAIOSFODNN7EXAMPLE for it."),
    append("chosen", "api_key", f" Use ghp_{'a1B2' * 9} for it."),
    also("score_contradicts", score_chosen=2.5, score_rejected=7),
    also("score_contradicts", chosen_rating=1, rejected_rating=4),
    also("score_tie", chosen_score=3, rejected_score=3.0),
]
DROPPED: list[Plant] = [
    identical,
    raw("bad_json", b'{"prompt": "a", "chosen": '),
    raw("bad_utf8", b'{"prompt": "a", "chosen": "\xff", "rejected": "b"}'),
    raw("not_a_pair", b'{"question": "a", "answer": "b"}'),
    replace("chosen", "empty", " \n"),
    replace("chosen", "bad_text", "a\0b"),
]
ESTIMATED: list[Plant] = [near_duplicate, mixed_language]
STRIDE = 6


def file(n: int, plants: list[Plant]) -> Planted:
    """`n` rows, of which each of the plants takes some in turn, six rows apart."""
    rows = clean(n)
    for number, place in enumerate(range(1, n - STRIDE, STRIDE)):
        if number % 3 or len(plants) * STRIDE > n:  # a third of the places stay clean
            plants[number % len(plants)](rows, place)
    return rows
