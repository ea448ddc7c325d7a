"""Methods of training on the wire."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class MethodObject(BaseModel):
    id: str = Field(description="What stands in `method.type` of a job.")
    object: Literal["fine_tuning.method"] = "fine_tuning.method"
    description: str
    hyperparameters: dict[str, Any] = Field(
        description="Their JSON schema: each with its default and a sentence."
    )
