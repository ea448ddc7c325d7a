"""A change of a run's labels on the wire: its name, tags and notes, and whether it is archived."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from api.schemas.body import Body
from api.schemas.text import Text
from services.jobs import labels

# For the document only: the service checks these, with error messages of its own.
NAME = {
    "anyOf": [
        {"type": "string", "maxLength": labels.LONGEST_NAME, "pattern": f"^{labels.NAME.pattern}$"},
        {"type": "null"},
    ]
}
TAGS = {
    "type": "array",
    "maxItems": labels.MOST_TAGS,
    "items": {"type": "string", "pattern": f"^{labels.TAG.pattern}$"},
}


class EditJob(Body):
    """What to change; a field that is left out stays as it is."""

    name: Annotated[str | None, WithJsonSchema(NAME)] = Field(
        default_factory=lambda: None, description="null: the run has its suffix as name."
    )
    tags: Annotated[list[str], WithJsonSchema(TAGS)] = Field(
        default_factory=list, description="All tags of the run; stored in lower case, each once."
    )
    notes: Text = Field(
        default_factory=str, max_length=labels.LONGEST_NOTES, description="Plain text."
    )
    archived: bool = Field(
        default_factory=bool, description="Left out of the list unless it is asked for."
    )

    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        return self.model_dump(exclude_unset=True)
