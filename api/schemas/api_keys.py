"""API keys on the wire. Only the answer to a create holds the key's text."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.schemas.body import Body
from api.schemas.text import Text
from models import ApiKey
from services.access import api_keys
from services.access.callers import Scope


class CreateApiKey(Body):
    """A key to be made: its name, and what it may do."""

    name: Text = Field(min_length=1, max_length=100)
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(
        [Scope.READ, Scope.CHAT, Scope.WRITE],
        min_length=1,
        max_length=len(Scope),
        description="admin includes write, write includes chat, chat includes read",
    )


class ApiKeyObject(BaseModel):
    """A key without its text."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    hint: str
    scopes: list[Scope]
    created_at: int

    @classmethod
    def from_record(cls, record: ApiKey) -> "ApiKeyObject":
        return cls(
            id=record.id,
            name=record.name,
            hint=record.hint,
            scopes=api_keys.scopes_of(record),
            created_at=int(record.created_at.timestamp()),
        )


class CreatedApiKey(ApiKeyObject):
    """A new key with its text."""

    key: str = Field(description="Shown this once; only a hash of it is stored.")
