"""OpenAI's error object, as the OpenAPI document shows it. `api/errors.py` fills it."""

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema


class FieldError(BaseModel):
    """One of several faults of a request."""

    message: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """What went wrong, in OpenAI's four fields. Of several faults they hold the first."""

    message: str = Field(description="A sentence that tells what to do.")
    type: str
    param: str | None = Field(description="The field at fault, dotted.")
    code: str | None
    errors: list[FieldError] | SkipJsonSchema[None] = Field(
        None,
        description="All faults of the request, the first included; left out if it has one.",
        exclude_if=lambda errors: errors is None,
    )


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: Error
