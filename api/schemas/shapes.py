"""Shapes of rows on the wire."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from orpo.rows.row_shapes import Shape
from orpo.rows.written import WRITABLE

if TYPE_CHECKING:
    WritableShape = Shape
else:
    # A shape that the rows of a file can be written in. The core alone lists them, so a type
    # checker can't know their names.
    WritableShape = Annotated[Literal[tuple(map(str, WRITABLE))], AfterValidator(Shape)]
