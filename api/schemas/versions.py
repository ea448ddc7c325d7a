"""Recipes, and previews of what they do, on the wire."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.body import Body
from api.schemas.stored import MessageObject
from api.schemas.text import CUT, Text
from orpo.audit.recipe import Recipe


class RecipeBody(Body):
    """A recipe: steps that are applied in their order to the accepted rows of a file."""

    recipe: Recipe


class CreateVersion(RecipeBody):
    """A recipe, and the name of the version that it makes."""

    filename: Text | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="The name of the version; made from the parent's name if left out.",
    )


class ShownPair(BaseModel):
    """A pair in its normal form, with long texts cut."""

    prompt: list[MessageObject]
    chosen: list[MessageObject]
    rejected: list[MessageObject] | None


class ChangedRow(BaseModel):
    """A row that a step changes; `after` is null if the step drops it."""

    line: int
    before: ShownPair
    after: ShownPair | None


class StepPreview(BaseModel):
    """What a step does: how many rows it gets, leaves and changes, and the first three that it
    drops or changes.
    """

    step: str
    rows_before: int
    rows_after: int
    rows_changed: int
    changed: list[ChangedRow]


class RecipePreview(BaseModel):
    """What a recipe would do, step by step.

    If a file has more than 5,000 accepted rows, only these are read: `exact` is false then, and
    the counts are those of the `rows_read` rows. `held_out` is the number of held-out rows of a
    split, whose rows for training are the last step's `rows_after`.
    """

    object: Literal["file.recipe_preview"] = "file.recipe_preview"
    file_id: str
    exact: bool
    rows_read: int
    held_out: int | None
    steps: list[StepPreview]
    cut: bool = Field(default=False, description=CUT)
