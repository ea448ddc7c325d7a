"""A value of the wrong type is refused, and the error names its field."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError

from api.app import create_app
from orpo.contract.methods import METHODS

ROUTES = [route for route in create_app().routes if isinstance(route, APIRoute)]
NO_WHOLE_NUMBER = [True, 3.0, "3"]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside a type, including unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def bodies() -> set[type[BaseModel]]:
    fields = [route.body_field for route in ROUTES if route.body_field is not None]
    return {model for field in fields for model in models_in(field.field_info.annotation)}


def is_whole(annotation: Any) -> bool:
    """Whether a type, or a part of a union, is an integer."""
    return annotation is int or any(map(is_whole, get_args(annotation)))


def whole_numbers(model: type[BaseModel]) -> list[str]:
    """The names of the integer fields."""
    fields = model.model_fields.items()
    return [field.alias or name for name, field in fields if is_whole(field.annotation)]


IN_BODIES = [(model, name) for model in bodies() for name in whole_numbers(model)]
IN_METHODS = [(kind, name) for kind, model in METHODS.items() for name in whole_numbers(model)]
IN_QUERIES = [
    (method, route.path, parameter.alias)
    for route in ROUTES
    for method in route.methods
    for parameter in [*route.dependant.query_params, *route.dependant.header_params]
    if is_whole(parameter.field_info.annotation)
]


def test_the_lists_of_these_tests_are_not_empty() -> None:
    assert len(IN_BODIES) > 8
    assert len(IN_METHODS) > 50
    assert len(IN_QUERIES) > 12


@pytest.mark.parametrize("value", NO_WHOLE_NUMBER)
def test_a_body_takes_no_other_type_for_a_whole_number(value: Any) -> None:
    for model, name in IN_BODIES:
        with pytest.raises(ValidationError) as refused:
            model.model_validate({name: value})
        assert (name,) in [error["loc"] for error in refused.value.errors()]


@pytest.mark.parametrize("value", NO_WHOLE_NUMBER)
def test_a_hyperparameter_takes_no_other_type_for_a_whole_number(value: Any) -> None:
    for kind, name in IN_METHODS:
        needed = {
            field: "x" for field, of in METHODS[kind].model_fields.items() if of.is_required()
        }
        with pytest.raises(ValidationError) as refused:
            METHODS[kind].model_validate({**needed, name: value})
        assert [error["loc"] for error in refused.value.errors()] == [(name,)]


@pytest.mark.slow
def test_a_query_takes_nothing_but_digits(client: TestClient) -> None:
    for method, path, name in IN_QUERIES:
        where = "headers" if name.startswith("x-") else "params"
        for value in ("3.0", "1_0", "+3", " 3", "true"):
            given: dict[str, Any] = {where: {"model": "tiny", name: value}}
            answer = client.request(method, path.replace("{line}", "1"), **given)
            assert answer.status_code == 400, (path, name, value, answer.text)
            assert answer.json()["error"]["param"] == name


def test_a_job_whose_setting_is_of_another_type_is_refused(client: TestClient) -> None:
    for name, wrong in {"max_steps": True, "use_dora": 1, "learning_rate": True}.items():
        method = {"type": "orpo", "orpo": {"hyperparameters": {name: wrong}}}
        body = {"model": "acme/tiny", "training_file": "file-1", "method": method}
        for path in ("/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/estimate"):
            answer = client.post(path, json=body)
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == f"method.orpo.hyperparameters.{name}"


def test_a_job_whose_own_fields_are_of_another_type_is_refused(client: TestClient) -> None:
    body = {"model": "acme/tiny", "training_file": "file-1", "priority": True}
    error = client.post("/v1/fine_tuning/jobs", json=body).json()["error"]
    assert (error["param"], error["message"]) == (
        "priority",
        "`priority` must be a whole number.",
    )
