"""The signed-in browser on the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas.body import Body
from models import ApiKey, SignIn
from services.access import api_keys
from services.access.callers import Scope

Secret = Annotated[str, Field(min_length=1, max_length=512)]


class SignInRequest(Body):
    """Either an API key, or the token of a link."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["api_key"]}, {"required": ["token"]}]},
    )

    api_key: Secret | SkipJsonSchema[None] = None
    token: Secret | SkipJsonSchema[None] = Field(None, description="Of a link.")

    @model_validator(mode="after")
    def _one_of_two(self) -> "SignInRequest":
        if (self.api_key is None) == (self.token is None):
            raise PydanticCustomError("one_of", "send either `api_key` or `token`")
        return self


class SessionObject(BaseModel):
    """The key that a browser is signed in with."""

    object: Literal["session"] = "session"
    key_id: str
    name: str
    scopes: list[Scope]
    evaluation_id: str | None = Field(
        default=None, description="Of a rater's key: the evaluation on whose cards it votes."
    )
    expires_at: int

    @classmethod
    def from_records(cls, sign_in: SignIn, key: ApiKey) -> "SessionObject":
        return cls(
            key_id=key.id,
            name=key.name,
            scopes=api_keys.scopes_of(key),
            evaluation_id=key.evaluation_id,
            expires_at=int(sign_in.expires_at.timestamp()),
        )


class LinkObject(BaseModel):
    """A link that signs a browser in."""

    object: Literal["session.link"] = "session.link"
    path: str = Field(description="Put the server's address before it and open it in a browser.")
    expires_at: int


class SignedOut(BaseModel):
    """The browser is signed out."""

    object: Literal["session"] = "session"
    deleted: Literal[True] = True
