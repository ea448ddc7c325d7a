"""Plain words for what is wrong with a value."""

from typing import Annotated, Any, Literal, LiteralString

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError

from orpo.contract.wording import sentence


class Settings(BaseModel):
    """One field for each kind of bound."""

    rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    steps: Annotated[int, Field(ge=1, lt=10)] = 1
    is_on: bool = False
    name: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    words: Annotated[list[str], Field(max_length=1)] = []
    kind: Literal["a", "b"] = "a"

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "no":
            raise ValueError("choose another one")
        return value


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rate": 0}, "rate must be greater than 0."),
        ({"rate": 2}, "rate must be 1 or less."),
        ({"rate": "fast"}, "rate must be a number."),
        ({"steps": 0}, "steps must be 1 or more."),
        ({"steps": 10}, "steps must be less than 10."),
        ({"steps": 1.5}, "steps must be a whole number."),
        ({"is_on": "maybe"}, "is_on must be true or false."),
        ({"name": ""}, "name must not be empty."),
        ({"name": "long"}, "name must have at most 3 characters."),
        ({"name": "no"}, "name: choose another one."),
        ({"words": ["a", "b"]}, "words must have at most 1 entry."),
        ({"kind": "c"}, "kind must be 'a' or 'b'."),
    ],
)
def test_a_fault_is_said_in_plain_words(given: dict[str, Any], expected: str):
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(given)
    (problem,) = refused.value.errors()
    assert sentence(next(iter(given)), problem) == expected


@pytest.mark.parametrize("kind", ["too_long", "missing", "int_parsing", "less_than"])
def test_a_message_of_our_own_is_kept_whatever_its_type(kind: LiteralString) -> None:
    """An error of the library's type without its context must not fail, nor lose its message."""

    def check(_: object) -> object:
        raise PydanticCustomError(kind, "send something else")

    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[Any, BeforeValidator(check)]).validate_python(1)
    (problem,) = caught.value.errors()
    assert sentence("stop", problem) == "stop: send something else."
