"""The 25 instructions of IFEval: does an answer follow one?

Each checker takes an answer and the arguments that stand in a prompt file's `kwargs`, under the
names used there. Where the official checkers have a quirk, it is kept and named, because published
figures contain it. Keywords are taken literally, not as regular expressions.
"""

import json
import re
from collections.abc import Callable

from evals.ifeval import text

Checker = Callable[..., bool]

CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
ENDS_A_WORD = frozenset(".,?!'\"")


def compared(count: int, relation: str, threshold: int) -> bool:
    """Raises ValueError unless the relation is `at least` or `less than`."""
    if relation == "at least":
        return count >= threshold
    if relation == "less than":
        return count < threshold
    raise ValueError(f"The relation is `at least` or `less than`, not `{relation}`.")


# Keywords


def existence(answer: str, keywords: list[str]) -> bool:
    return all(re.search(re.escape(keyword), answer, re.IGNORECASE) for keyword in keywords)


def frequency(answer: str, keyword: str, frequency: int, relation: str) -> bool:
    found = re.findall(re.escape(keyword.strip()), answer, re.IGNORECASE)
    return compared(len(found), relation, frequency)


def forbidden_words(answer: str, forbidden_words: list[str]) -> bool:
    return not any(
        re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in forbidden_words
    )


def letter_frequency(answer: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """The official checker replaces a character that is no letter (prompts 1122 and 1129) by a
    random letter; here the character itself is counted.
    """
    return compared(answer.lower().count(letter.lower()), let_relation, let_frequency)


# Language and case


def response_language(answer: str, language: str) -> bool:
    """True also for an answer without letters, which has no language."""
    return text.language(answer) in {None, language}


def english_capital(answer: str) -> bool:
    return answer.isupper() and response_language(answer, "en")


def english_lowercase(answer: str) -> bool:
    return answer.islower() and response_language(answer, "en")


def capital_word_frequency(answer: str, capital_frequency: int, capital_relation: str) -> bool:
    found = sum(token.isupper() for token in text.tokens(answer))
    return compared(found, capital_relation, capital_frequency)


# Length


def number_sentences(answer: str, num_sentences: int, relation: str) -> bool:
    return compared(len(text.sentences(answer)), relation, num_sentences)


def number_words(answer: str, num_words: int, relation: str) -> bool:
    return compared(len(text.words(answer)), relation, num_words)


def number_paragraphs(answer: str, num_paragraphs: int) -> bool:
    """Paragraphs are divided by `***`; only the first and the last may be empty."""
    return _parts(re.split(r"\s?\*\*\*\s?", answer)) == num_paragraphs


def nth_paragraph_first_word(
    answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """Paragraphs are divided by an empty line. Empty ones are not counted, but keep their place."""
    paragraphs = answer.split("\n\n")
    found = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if found != num_paragraphs or not 1 <= nth_paragraph <= found:
        return False
    inside = paragraphs[nth_paragraph - 1].split()
    return bool(inside) and _bare(inside[0]) == first_word.lower()


# Content and format


def number_placeholders(answer: str, num_placeholders: int) -> bool:
    """Counts `[text]` within a line.

    Not by the official expression: it takes seconds for an answer of forty thousand brackets, which
    a model that repeats itself may write.
    """
    found = 0
    for line in answer.split("\n"):
        start = line.find("[")
        while start >= 0 and (end := line.find("]", start)) >= 0:
            found += 1
            start = line.find("[", end)
    return found >= num_placeholders


def postscript(answer: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(patterns.get(marker, re.escape(marker.lower())), answer.lower()))


def number_bullet_lists(answer: str, num_bullets: int) -> bool:
    """Bullets are `*` or `-` at the start of a line; their number must be met exactly."""
    stars = re.findall(r"^\s*\*[^\*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def constrained_response(answer: str) -> bool:
    return any(choice in answer for choice in CHOICES)


def number_highlighted_sections(answer: str, num_highlights: int) -> bool:
    """Counts `*text*` and `**text**` within a line."""
    single = re.findall(r"\*[^\n\*]*\*", answer)
    double = re.findall(r"\*\*[^\n\*]*\*\*", answer)
    filled = [found for found in single + double if found.strip("*").strip()]
    return len(filled) >= num_highlights


def multiple_sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    pattern = rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?"
    return len(re.findall(pattern, answer)) >= num_sections


def title(answer: str) -> bool:
    """Whether a line has `<<text>>`, from its first `<<` to its last `>>`; see above on speed."""
    for line in answer.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2 and line[start:end].lstrip("<").rstrip(">").strip():
            return True
    return False


def json_format(answer: str) -> bool:
    inside = answer.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        inside = inside.removeprefix(fence)
    try:
        json.loads(inside.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def no_comma(answer: str) -> bool:
    return "," not in answer


# Start, end and combinations


def end_checker(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(answer: str) -> bool:
    inside = answer.strip()
    return len(inside) > 1 and inside[0] == inside[-1] == '"'


def repeat_prompt(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


def two_responses(answer: str) -> bool:
    """Two different answers, divided by six stars."""
    parts = answer.split("******")
    filled = [part.strip() for part in parts if part.strip()]
    return _parts(parts) == 2 and filled[0] != filled[1]


def _parts(parts: list[str]) -> int:
    """Count the parts; 0 if one is empty that is neither first nor last."""
    if not all(part.strip() for part in parts[1:-1]):
        return 0
    return sum(bool(part.strip()) for part in parts)


def _bare(word: str) -> str:
    """Return the letters of a word before its first punctuation mark, in lower case."""
    inside = word.lstrip("'").lstrip('"')
    ends = [at for at, letter in enumerate(inside) if letter in ENDS_A_WORD]
    return inside[: ends[0] if ends else None].lower()


CHECKERS: dict[str, Checker] = {
    "keywords:existence": existence,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": response_language,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:number_words": number_words,
    "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
    "detectable_content:number_placeholders": number_placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": number_bullet_lists,
    "detectable_format:constrained_response": constrained_response,
    "detectable_format:number_highlighted_sections": number_highlighted_sections,
    "detectable_format:multiple_sections": multiple_sections,
    "detectable_format:json_format": json_format,
    "detectable_format:title": title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeat_prompt,
    "startend:end_checker": end_checker,
    "startend:quotation": quotation,
    "change_case:capital_word_frequency": capital_word_frequency,
    "change_case:english_capital": english_capital,
    "change_case:english_lowercase": english_lowercase,
    "punctuation:no_comma": no_comma,
}
