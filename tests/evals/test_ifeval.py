"""IFEval's checkers: right values of our own, and the oracle's for GPT-4's answers."""

import random
import re
from typing import Any

import pytest

from evals.ifeval import text
from evals.ifeval.checkers import CHECKERS
from evals.ifeval.score import RANDOM_OFFICIALLY, BadPrompt, Prompt, check, read, scores
from tests.evals.data import rows, shared

# Prompts and instructions that are followed, strictly and loosely, by lm-eval's checkers.
ORACLE = (415, 429, 693, 709)

RIGHT_AND_WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["C++", "ice"]}, "Ice and c++.", "Ice and c."),
    ("keywords:frequency", {"keyword": "a.b", "frequency": 2, "relation": "at least"},
     "a.b A.B", "a.b axb"),
    ("keywords:frequency", {"keyword": "x", "frequency": 2, "relation": "less than"}, "x", "x x"),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "A category.", "A Cat."),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"},
     "#a #b", "#a b"),
    ("language:response_language", {"language": "de"},
     "Das ist ein Satz in deutscher Sprache.", "This is a sentence in English."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"},
     "Dr. Smith came. He left.", "Dr. Smith came and left."),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"},
     "One, two.", "One, two, three."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2},
     "One\n***\nTwo\n***\n", "One\n***\n\n***\nTwo"),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
     'First.\n\n"Then, second.', "First.\n\nSecond then."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", "[a] b"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "x\np. p. s more", "x\nP.S."),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x\nP.S. more", "x\nPS more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2},
     "* a\n- b", "* a\n- b\n- c"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "My answer: no."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2},
     "*a* and **b**", "*a* and ** **"),
    ("detectable_format:multiple_sections", {"section_spliter": "Part", "num_sections": 2},
     "Part 1 a Part 2 b", "Part one, Part 2"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<A title>>\nText", "<< >>\nText"),
    ("combination:two_responses", {}, "One******Two", "One******One"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi. "}, "say hi. Hi!", "Hi!"),
    ("startend:end_checker", {"end_phrase": "The end."}, '"x the END."', "The end. x"),
    ("startend:quotation", {}, ' "x" ', '"x'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"},
     "I SAY yes", "I say yes"),
    ("change_case:english_capital", {}, "THIS IS AN ENGLISH SENTENCE.", "THIS Is English."),
    ("change_case:english_lowercase", {}, "this is an english sentence.",
     "das ist ein satz auf deutsch."),
    ("punctuation:no_comma", {}, "a b", "a, b"),
]  # fmt: skip


def prompt(kind: str, arguments: dict[str, Any], key: int = 1) -> Prompt:
    return read({"key": key, "prompt": "p", "instruction_id_list": [kind], "kwargs": [arguments]})


@pytest.mark.parametrize(
    ("kind", "arguments", "right", "wrong"),
    RIGHT_AND_WRONG,
    ids=[row[0] for row in RIGHT_AND_WRONG],
)
def test_each_instruction_knows_right_from_wrong(
    kind: str, arguments: dict[str, Any], right: str, wrong: str
) -> None:
    asked = prompt(kind, arguments)
    assert check(asked, right).strict == (True,)
    assert check(asked, wrong).strict == (False,)


def test_each_instruction_has_a_row_above() -> None:
    assert {row[0] for row in RIGHT_AND_WRONG} == set(CHECKERS)
    assert len(CHECKERS) == 25


def test_a_loose_check_forgives_a_line_around_the_answer() -> None:
    asked = prompt("startend:quotation", {})
    found = check(asked, 'Sure, here it is:\n"Quoted."')
    assert (found.strict, found.loose) == ((False,), (True,))


def test_placeholders_and_titles_are_those_of_the_official_expressions() -> None:
    draw = random.Random(1)
    for _ in range(5_000):
        answer = "".join(draw.choice("[]<>a \n") for _ in range(draw.randint(0, 14)))
        placeholders = len(re.findall(r"\[.*?\]", answer))
        assert CHECKERS["detectable_content:number_placeholders"](answer, placeholders)
        assert not CHECKERS["detectable_content:number_placeholders"](answer, placeholders + 1)
        titles = (found.strip("<>").strip() for found in re.findall(r"<<[^\n]+>>", answer))
        assert CHECKERS["detectable_format:title"](answer) == any(titles), answer


def test_a_paragraph_is_counted_from_one_and_numbers_may_come_from_a_table() -> None:
    place = {"num_paragraphs": 2.0, "first_word": "b"}
    kind = "length_constraints:nth_paragraph_first_word"
    found = [
        check(prompt(kind, {**place, "nth_paragraph": nth}), "a\n\nb").strict
        for nth in (-9, 0, 1, 2.0, 3)
    ]
    assert found == [(False,), (False,), (False,), (True,), (False,)]


def test_an_empty_answer_follows_nothing() -> None:
    found = check(prompt("punctuation:no_comma", {}), " \n ")
    assert (found.strict, found.loose) == ((False,), (False,))


def test_the_language_of_a_text_does_not_depend_on_what_was_asked_before() -> None:
    short = "na sol ta mi"
    first = text.language(short)
    text.language("Une autre phrase.")
    assert [text.language(short) for _ in range(10)] == [first] * 10
    assert text.language("1, 2, 3") is None


def test_scores_keep_the_instructions_of_a_prompt_together() -> None:
    both = read({"key": 1, "prompt": "p", "instruction_id_list": ["punctuation:no_comma"] * 2,
                 "kwargs": [{}, {}]})  # fmt: skip
    one = prompt("punctuation:no_comma", {}, key=2)
    found = scores({both: check(both, "a"), one: check(one, "a, b")})
    assert found.prompt_strict
    assert found.instruction_strict
    assert (found.prompt_strict.value, found.prompt_strict.n) == (0.5, 2)
    assert (found.instruction_strict.value, found.instruction_strict.n) == (2 / 3, 2)
    assert found.by_kind["punctuation:no_comma"].value == 2 / 3


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"key": "1", "prompt": "p"}, "`key`"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["x"], "kwargs": []}, "same length"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["x"], "kwargs": [{}]}, "`x` is not"),
        ({"key": 1, "prompt": "p", "instruction_id_list": [["x"]], "kwargs": [{}]}, "is not known"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["punctuation:no_comma"],
          "kwargs": [{"n": 1}]}, "don't fit"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["length_constraints:number_words"],
          "kwargs": [{"num_words": 1, "relation": "about"}]}, "`about`"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["length_constraints:number_words"],
          "kwargs": [{"num_words": "many", "relation": "at least"}]}, "no whole number"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["length_constraints:number_words"],
          "kwargs": [{"num_words": 1.5, "relation": "at least"}]}, "no whole number"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["keywords:existence"],
          "kwargs": [{"keywords": ["a", 1]}]}, "no list of texts"),
        ({"key": 1, "prompt": "p", "instruction_id_list": ["startend:end_checker"],
          "kwargs": [{"end_phrase": 1}]}, "no text"),
    ],
    ids=["key", "lengths", "unknown", "list", "argument", "relation", "type", "part", "texts",
         "text"],
)  # fmt: skip
def test_a_bad_row_is_refused_with_a_sentence(row: dict[str, Any], says: str) -> None:
    with pytest.raises(BadPrompt, match=says):
        read(row)


@shared
def test_gpt4s_answers_are_judged_as_lm_eval_judges_them() -> None:
    """Counts of lm-eval 0.4.13's checkers on the same answers, with punkt as its splitter.

    Of 541 answers, one has another prompt, and two are those whose letter is random officially.
    """
    answers = {row["prompt"]: row["response"] for row in rows("ifeval_gpt4_responses.jsonl")}
    prompts = [
        p for row in rows("ifeval_prompts.jsonl") if (p := read(row)).text in answers
        and p.key not in RANDOM_OFFICIALLY
    ]  # fmt: skip
    found = [check(p, answers[p.text]) for p in prompts]
    assert len(prompts) == 538
    assert sum(all(f.strict) for f in found) == ORACLE[0]
    assert sum(all(f.loose) for f in found) == ORACLE[1]
    assert sum(sum(f.strict) for f in found) == ORACLE[2]
    assert sum(sum(f.loose) for f in found) == ORACLE[3]
