"""Limits answers in bytes: lists, which are divided into pages, and objects with users' texts.

Lists have the shape that OpenAI's client needs, which requests further pages if `has_more` is
absent. A page ends at its `limit` or once it has ANSWER_BYTES; the next one begins after `last_id`.
"""

from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import orjson
from fastapi import Query, Response
from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from api.schemas.text import Id
from services.platform.sizes import ANSWER_BYTES, shortened

After = Annotated[Id | SkipJsonSchema[None], Query(description="`last_id` of the page before")]


def page(items: Iterable[BaseModel], limit: int | None = None, **more: Any) -> Response:
    """Answer with as many of the `items` as `limit` and ANSWER_BYTES allow, but at least the first.

    Items are taken one by one; `has_more` is true if one is left over. `first_id` and `last_id` are
    null if items have no `id`. `more` are further fields of the answer.
    """
    encoded = ((getattr(item, "id", None), encode(item)) for item in items)
    return fill(encoded, limit, **more)


def fill(
    items: Iterable[tuple[str | None, bytes]], limit: int | None = None, **more: Any
) -> Response:
    """The same for items that are JSON already, each with its id."""
    return listed(take(items, limit), **more)


class Taken(NamedTuple):
    """The items of a page as JSON, with their ids; `has_more` is true if one is left over."""

    ids: list[str | None]
    parts: list[bytes]
    has_more: bool


def take(items: Iterable[tuple[str | None, bytes]], limit: int | None = None) -> Taken:
    """Take as many items as `limit` and ANSWER_BYTES allow, but at least the first, and one more to
    see whether there is one.
    """
    taken, size_bytes = Taken([], [], has_more=False), 0
    for item_id, part in items:
        size_bytes += len(part)
        if len(taken.parts) == limit or (taken.parts and size_bytes > ANSWER_BYTES):
            return taken._replace(has_more=True)
        taken.ids.append(item_id)
        taken.parts.append(part)
    return taken


def listed(taken: Taken, **more: Any) -> Response:
    """Answer with a page; `more` are further fields of the answer."""
    ids = taken.ids
    facts = {"object": "list", "has_more": taken.has_more, **more}
    facts |= {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    data = b",".join(taken.parts)
    return _json(b'{"data":[' + data + b"]," + orjson.dumps(facts)[1:])


def whole(item: BaseModel) -> Response:
    """Answer with one object."""
    return _json(encode(item))


def encode(item: BaseModel) -> bytes:
    """An object as JSON. If it exceeds ANSWER_BYTES, long texts are cut, then long lists, and its
    field `cut` is true, if it has that field.
    """
    content = item.model_dump_json(by_alias=True).encode()
    if len(content) <= ANSWER_BYTES:
        return content
    value = orjson.loads(content)
    if "cut" in value:
        value["cut"] = True
    return orjson.dumps(shortened(value, ANSWER_BYTES))


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
