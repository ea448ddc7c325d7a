"""Text on the wire: what the database can hold, and ids."""

from typing import Annotated

from pydantic import Field

# Postgres stores no NUL. Half of a surrogate pair is no text to pydantic.
NO_NUL = r"^[^\x00]*$"
# Of the field that says so of an object whose texts users wrote.
CUT = (
    "It is larger than an answer may be: long texts end with a mark, or items of lists are missing."
)

Text = Annotated[str, Field(pattern=NO_NUL)]
# Of any object; a model's may hold a slash.
Id = Annotated[str, Field(min_length=1, max_length=512, pattern=NO_NUL)]
