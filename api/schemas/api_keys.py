"""API keys on the wire. Only the answer to a create holds the key's text."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.body import Body
from api.schemas.text import Id, Text
from models import ApiKey
from services.access import api_keys
from services.access.callers import Scope

# The page of raters.
VOTE_PAGE = "/vote"
# In the document: a key is for one evaluation exactly if `vote` is its only scope.
OTHERS: JsonDict = {
    "properties": {
        "scopes": {"contains": {"enum": [scope for scope in Scope if scope != Scope.VOTE]}},
        "evaluation_id": {"type": "null"},
    }
}
RATER: JsonDict = {
    "required": ["scopes", "evaluation_id"],
    "properties": {
        "scopes": {"items": {"const": Scope.VOTE}},
        "evaluation_id": {"type": "string"},
    },
}


class CreateApiKey(Body):
    """A key to be made: its name, and what it may do."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [OTHERS, RATER]})

    name: Text = Field(min_length=1, max_length=100)
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(
        [Scope.READ, Scope.CHAT, Scope.WRITE],
        min_length=1,
        max_length=len(Scope),
        description="admin includes write, write includes chat, chat includes read and vote. "
        "Alone, `vote` is for a rater, who only votes on the cards of one evaluation.",
    )
    evaluation_id: Id | None = Field(
        None, description="With the scope `vote`: the evaluation on whose cards the key votes."
    )


class ApiKeyObject(BaseModel):
    """A key without its text."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    hint: str
    scopes: list[Scope]
    created_at: int
    evaluation_id: str | None = Field(
        default=None, description="Of a rater's key: the evaluation on whose cards it votes."
    )
    votes: int = Field(default=0, description="How many votes it has cast.")

    @classmethod
    def from_record(cls, record: ApiKey, votes: int = 0) -> "ApiKeyObject":
        return cls(
            id=record.id,
            name=record.name,
            hint=record.hint,
            scopes=api_keys.scopes_of(record),
            created_at=int(record.created_at.timestamp()),
            evaluation_id=record.evaluation_id,
            votes=votes,
        )


class CreatedApiKey(ApiKeyObject):
    """A new key with its text."""

    key: str = Field(description="Shown this once; only a hash of it is stored.")
    path: str | None = Field(
        default=None,
        description="Of a rater's key: the link to the page to vote on. Put the server's address "
        "before it. It works in any number of browsers until the key is revoked.",
    )

    @classmethod
    def from_created(cls, record: ApiKey, text: str) -> "CreatedApiKey":
        # The fragment of an address stays in the browser: no server and no log gets it.
        path = f"{VOTE_PAGE}#key={text}" if record.evaluation_id else None
        return cls(**ApiKeyObject.from_record(record).model_dump(), key=text, path=path)
