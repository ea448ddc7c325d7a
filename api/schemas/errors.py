"""OpenAI's error object, as the OpenAPI document shows it. `api/errors.py` fills it."""

from pydantic import BaseModel, Field


class Error(BaseModel):
    """What went wrong, in OpenAI's four fields."""

    message: str = Field(description="A sentence that tells what to do.")
    type: str
    param: str | None = Field(description="The field at fault, dotted.")
    code: str | None


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: Error
