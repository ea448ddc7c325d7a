"""Models on the wire: OpenAI's object, with what it lacks as extra fields."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.catalog import Kind, Model


class RegisterModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(
        None, max_length=512, description="Its name here; by default the folder's or hub's."
    )
    path: str | None = Field(None, max_length=4096, description="An absolute folder on the server.")
    hub_id: str | None = Field(
        None, max_length=512, description="Its name on the hub; by default `id`."
    )
    revision: str | None = Field(
        None, max_length=256, description="A branch, tag or commit of the hub's model."
    )


class ModelObject(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    kind: Kind
    parent: str | None
    deployed: bool
    status: Literal["downloading", "ready", "error"]
    error: str | None
    job_id: str | None
    revision: str | None
    info: dict[str, Any]

    @classmethod
    def from_record(cls, model: Model) -> "ModelObject":
        fields = {name: value for name, value in vars(model).items() if name != "created_at"}
        return cls.model_validate({**fields, "created": int(model.created_at.timestamp())})
