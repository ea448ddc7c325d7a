"""Text on the wire: what the database can hold, and ids."""

from typing import Annotated

from pydantic import Field

# Postgres stores no NUL. Pydantic itself refuses half of a surrogate pair.
NO_NUL = r"^[^\x00]*$"
# The description of the field `cut`, which objects with users' texts have.
CUT = (
    "It is larger than an answer may be: long texts end with a mark, or items of lists are missing."
)

Text = Annotated[str, Field(pattern=NO_NUL)]
# The id of any object; a model's id may hold a slash.
Id = Annotated[str, Field(min_length=1, max_length=512, pattern=NO_NUL)]
