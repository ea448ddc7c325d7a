"""Lists as OpenAI's client wants them: it keeps asking while `has_more` is absent."""

from collections.abc import Sequence
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from api.schemas.text import Id

After = Annotated[Id | SkipJsonSchema[None], Query(description="`last_id` of the page before")]
Item = TypeVar("Item", bound=BaseModel)


class ListPage(BaseModel, Generic[Item]):
    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    first_id: str | None
    last_id: str | None


def page(items: Sequence[Item], has_more: bool = False) -> ListPage[Item]:
    """Wrap schema objects that have an `id`."""
    ids = [getattr(item, "id", None) for item in items]
    return ListPage(
        data=list(items),
        has_more=has_more,
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
    )
