"""What is wrong with a value, in plain words: the library's own sentences name its types.

A sentence is made of the field's name and these words: `lambda` + `must be greater than 0`.
"""

from collections.abc import Mapping
from typing import Any

# By pydantic's types of error; the braces name values of the error's context.
WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not known",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def in_words(problem: Mapping[str, Any]) -> str:
    """Say what is wrong, without the field's name and a full stop.

    `problem` is an item of `ValidationError.errors()`. A message of a validator of ours is a clause
    of its own and is kept.
    """
    if not is_worded(problem):
        return str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    context = {name: _short(value) for name, value in problem.get("ctx", {}).items()}
    words = WORDS[problem["type"]]
    if problem["type"] in ("string_too_short", "too_short") and context.get("min_length") == 1:
        return "must not be empty"
    counted = context.get("max_length", context.get("min_length"))
    if counted == 1:
        words = words.replace("characters", "character").replace("entries", "entry")
    return words.format(**context)


def _short(value: Any) -> Any:
    """A bound without a needless `.0`."""
    return f"{value:g}" if isinstance(value, float) else value


def is_worded(problem: Mapping[str, Any]) -> bool:
    """Whether the words of `in_words` continue a sentence that begins with the field's name.

    The library's own messages begin with a capital letter. A validator of ours may raise an error
    of the same type: its message does not, and has no context.
    """
    return problem["type"] in WORDS and str(problem["msg"])[:1].isupper()


def sentence(name: str, problem: Mapping[str, Any]) -> str:
    """The whole sentence about a field."""
    words = in_words(problem)
    return f"{name} {words}." if is_worded(problem) else f"{name}: {words}."
