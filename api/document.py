"""Adds what FastAPI leaves out of the OpenAPI document: each operation's scope and usual errors,
and the shapes of the frames of streams.

The scope (`x-scope`) is read from the dependency that checks it, so a route without a check is
`public` in the document.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api.schemas.frames import FRAMES

PUBLIC = "public"


def install(app: FastAPI) -> None:
    """Let the application serve the document with these additions."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            for route, operation in _operations(app, app.openapi_schema):
                operation["x-scope"] = scope_of(route)
                operation["responses"] = _errors(operation) | operation["responses"]
            components = app.openapi_schema["components"]
            components["schemas"] = frames() | components["schemas"]
        return app.openapi_schema

    app.openapi = document


def frames() -> dict[str, Any]:
    """Return the schemas of the streams' frames by name, with the schemas that they refer to."""
    _, found = models_json_schema(
        [(frame, "serialization") for frame in FRAMES], ref_template="#/components/schemas/{model}"
    )
    return found["$defs"]


def scopes(app: FastAPI) -> list[tuple[str, str, str]]:
    """Return each operation of the document as (scope, method, path)."""
    paths = app.openapi()["paths"].items()
    return sorted(
        (operation["x-scope"], method.upper(), path)
        for path, operations in paths
        for method, operation in operations.items()
    )


def scope_of(route: APIRoute) -> str:
    """The scope that the route's dependencies check, or PUBLIC."""
    marks = (getattr(each.call, "scope", None) for each in _dependencies(route.dependant))
    return " ".join(sorted({str(mark) for mark in marks if mark is not None})) or PUBLIC


def _dependencies(dependant: Dependant) -> Iterator[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from _dependencies(each)


def _operations(
    app: FastAPI, document: dict[str, Any]
) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods:
                yield route, document["paths"][route.path_format][method.lower()]


def _errors(operation: dict[str, Any]) -> dict[str, Any]:
    """The errors that follow from an operation's input and scope; all have the same body."""
    parameters = operation.get("parameters", [])
    sayings = {"400": "A value is refused, by name"} if parameters else {}
    if "requestBody" in operation:
        sayings |= {"400": "A value is refused, by name", "413": "The body is too large"}
    if operation["x-scope"] != PUBLIC:
        sayings |= {"401": "The API key is missing or unknown", "403": "The key lacks the scope"}
    if any(each["in"] == "path" for each in parameters):
        sayings["404"] = "There is no such object, or it is another organisation's"
    body = operation["responses"]["4XX"]["content"]
    return {status: {"description": text, "content": body} for status, text in sayings.items()}
