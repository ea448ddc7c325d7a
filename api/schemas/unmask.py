"""The request to show personal data and secrets, which are masked in previews by default."""

from typing import Annotated

from fastapi import Query

from api.schemas.body import TRUE_OR_FALSE

Unmask = Annotated[
    bool, Query(description="Show personal data and secrets in the texts."), TRUE_OR_FALSE
]
