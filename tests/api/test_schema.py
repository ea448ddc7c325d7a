"""The application accepts what the OpenAPI document allows, and refuses the rest.

Schemathesis makes examples for each operation from the document, always the same ones. An id in an
example is replaced by the id of an existing object; the rest of the example is not changed.
"""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any, cast

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.python.asgi import ASGIClient
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import upstream
from api.app import create_app
from models.base import new_id
from orpo.audit import recipe
from orpo.contract.methods import METHODS
from orpo.contract.on_policy import OnPolicy
from orpo.rows.row_shapes import Shape
from services.files import base_models, exports, hub, seed, statistics, tokens, versions
from services.files import overlaps as file_overlaps
from services.platform import storage
from services.upkeep import health
from tests.api.conftest import KEY
from tests.api.fake_engine import FakeEngine, deploy
from tests.api.servers import serving
from tests.api.world import SERVED, World

pytestmark = pytest.mark.slow

EACH = 20
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip
# These take no parameters and need no key, so no request to them can be refused.
NEVER_REFUSED = {"GET /healthz", "GET /readyz"}
AUTHORIZED = {"Authorization": f"Bearer {KEY}", "Origin": "http://testserver"}

NO_STATISTICS = {
    "sampled": 1, "max_length": 8, "template": "model",
    "cut": {"longer": 0, "trained": 0, "lines": [], "message": None, "repairs": []}, "left_out": [],
    "tokens": dict.fromkeys(("prompt", "chosen", "rejected", "sequence")),
    "dropped": {}, "turns": [], "roles": {}, "saved_by_sharing": None, "job": None,
}  # fmt: skip

NO_ROWS = {"rows": 0, "lines": [], "pairs": []}
NO_OVERLAP = {
    "rows": 0, "same": NO_ROWS, "near": NO_ROWS,
    "against": [{"prompts": 1, "without_prompt": 0, "same": NO_ROWS, "near": NO_ROWS}],
}  # fmt: skip

APP = create_app()
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
FOUND = [each.ok() for each in SCHEMA.get_all_operations() if isinstance(each, Ok)]
OPERATIONS = {operation.label: operation for operation in FOUND}


@pytest.fixture(scope="module")
def engine_port() -> Iterator[int]:
    with serving(FakeEngine()) as port:
        yield port


@pytest.fixture(scope="module")
def asgi() -> Iterator[ASGIClient]:
    with ASGIClient(cast("Any", APP)) as session:
        yield session


@pytest.fixture
def world(
    client: TestClient,
    engine_port: int,
    monkeypatch: pytest.MonkeyPatch,
    settings_from: Callable[..., None],
) -> World:
    """Objects in the database, a model that answers, and a hub that has every model."""
    upstream._routes.clear()
    # Webhooks are signed with this, and may be sent to this machine.
    settings_from(webhook_secret="w" * 32, egress_allow="127.0.0.1")
    deploy(seed.ORG_ID, engine_port, SERVED.removeprefix("acme/"))
    monkeypatch.setattr(hub, "resolve", lambda *_: "0" * 40)
    # Verbs are processes; tests/api/test_base_models.py replaces the first as well.
    no_model = {"ok": False, "problems": []}
    monkeypatch.setattr(base_models, "run_verb", lambda *_, **__: no_model)
    no_tokens = {
        "line": 1,
        "template": "model",
        "dropped": "template",
        "why": "",
        "truncated": False,
    }
    no_tokens |= dict.fromkeys(("prefix", "chosen", "rejected"))
    monkeypatch.setattr(tokens, "run_verb", lambda *_, **__: no_tokens)
    monkeypatch.setattr(statistics, "run_verb", lambda *_, **__: NO_STATISTICS)
    no_steps = {"exact": True, "rows_read": 0, "held_out": None, "steps": []}
    monkeypatch.setattr(versions, "run_verb", lambda *_, **__: no_steps)
    monkeypatch.setattr(file_overlaps, "run_verb", lambda *_, **__: NO_OVERLAP)
    monkeypatch.setattr(health, "missing", list)  # Redis would be missing
    monkeypatch.setattr(health, "degraded", list)
    with storage.writing("x.rows"):  # the rows of files that `records` makes
        pass
    return World(client)


def examples(label: str, mode: GenerationMode, count: int) -> list[Case]:
    """At most `count` cases of an operation, always the same."""
    found: list[Case] = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=cast("Any", list(HealthCheck)),
    )  # fmt: skip
    @given(OPERATIONS[label].as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def ask(asgi: ASGIClient, case: Case, headers: dict[str, str], **body: Any) -> Response:
    """Send a case, and validate the answer against the document."""
    response = case.call(session=asgi, headers=headers, **body)
    case.validate_response(response, checks=CHECKS)
    return response


def name_what_exists(label: str, case: Case, world: World) -> None:
    """Replace the ids in a case by ids of existing objects."""
    for name in case.path_parameters:
        case.path_parameters[name] = world.path(label, name)
    if "after" in case.query:
        case.query["after"] = world.after(label)
    if label.startswith("GET /v1/models"):
        case.query.pop("format", None)  # other formats need a process of the core
    name_in_query(case, world)
    if label.endswith("/export"):
        name_for_export(case)
    if label == "GET /v1/session":
        case.cookies["oddsmith_session"] = world.session
    if "idempotency-key" in case.headers:
        case.headers["idempotency-key"] = new_id("key")  # a key can't be reused for another body
    # JSON Schema accepts 3.0 as an integer; the API does not (tests/api/test_types.py).
    case.query, case.body = whole(case.query), whole(case.body)
    if isinstance(case.body, dict):
        name_in_body(label, case.body, world)
        name_for_upload(label, case.body, world)


def name_in_query(case: Case, world: World) -> None:
    existing = {
        "model": world.base,
        "against": [world.version],
        "ids": f"{world.evaluation},{world.other_evaluation}",
    }
    case.query.update({name: existing[name] for name in existing.keys() & case.query.keys()})


def name_for_export(case: Case) -> None:
    """Use a shape that holds pairs, and a container that can hold the shape."""
    if case.query.get("shape") == Shape.MESSAGES:
        case.query["shape"] = Shape.EXPLICIT
    if case.query.get("shape") in exports.NESTED and case.query.get("container") == "csv":
        case.query["container"] = "jsonl"


def whole(value: Any) -> Any:
    """The same JSON value with floats like 3.0 converted to integers."""
    if isinstance(value, dict):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def name_in_body(label: str, body: dict[str, Any], world: World) -> None:
    if name_for := NAMED.get(label):
        name_for(body, world)
    if label == "POST /v1/session":
        body |= {"api_key": KEY} if "api_key" in body else {"token": world.link()}
    if label == "POST /v1/models":
        # Checking a folder needs a process of the core; `from` names a model of the caller, and
        # `adapter` a folder.
        body.pop("path", None)
        body.pop("from", None)
        body.pop("adapter", None)
        body.setdefault("id", "tiny")
    if label == "POST /v1/comparisons/{comparison_id}/stop":
        body["side"] = body["side"] % 2
    name_for_recipe(body, world)
    for holder in [body, *(body.get("sides") or [])]:
        if "model" in holder and label in ("POST /v1/chat/completions", "POST /v1/comparisons"):
            holder["model"] = SERVED
        if holder.get("models"):
            holder["models"] = [SERVED for _ in holder["models"]]
        write_arguments(holder)
    if body.get("held_out"):
        body["held_out"]["job_id"] = world.job
    if label in ("POST /v1/deployments", "POST /v1/files/{file_id}/deep_audits"):
        body["model"] = world.base


def write_arguments(conversation: dict[str, Any]) -> None:
    """Make the arguments of each call JSON in a text, which OpenAPI can't express."""
    calls = [m.get("tool_calls") or [] for m in conversation.get("messages") or []]
    for call in (call for of_message in calls for call in of_message):
        call["function"]["arguments"] = "{}"


def name_for_recipe(body: dict[str, Any], world: World) -> None:
    """Use one existing file and a valid pattern, and only steps that go together."""
    for step in body.get("recipe", ()):
        if step.get("matches"):
            step["matches"] = "a+"
        if step.get("pattern"):
            step.update(pattern="a+", replacement="b")
        if "files" in step:
            step["files"] = [{"file_id": world.file}]
    if "recipe" in body and recipe.problem(recipe.parse(body["recipe"])):
        body["recipe"] = [{"step": "sample", "n": 1}]
    if body.get("filename"):
        body["filename"] = "a.jsonl"


def name_for_job(body: dict[str, Any], world: World) -> None:
    body |= {"model": world.base, "training_file": world.file}
    if body.get("validation_file") is not None:
        body["validation_file"] = world.file
    # Hyperparameters have their own schemas, which other tests cover.
    body.pop("hyperparameters", None)
    method = body.get("method")
    if method and method["type"] in method:
        needs = {"reward_model": world.reward_model} if method["type"] in ON_POLICY else {}
        method[method["type"]] = {"hyperparameters": needs}
    if method and method["type"] == "reward":  # its models answer no prompts
        body.pop("gates", None)
    for gate in body.get("gates") or ():
        gate |= {"suite": "custom", "data": world.prompts, "judge": world.judge}
        gate |= {"metric": "win_rate", "at_least": 0.5}


def name_for_evaluation(body: dict[str, Any], world: World) -> None:
    """Use the suite that needs both a baseline and a judge, and a prompt with all places."""
    body |= {"suite": "custom", "data": world.prompts, "judge": world.judge}
    body |= {"model": world.base, "baseline": world.model}
    body.pop("samples", None)  # this suite asks each prompt once
    if body.get("judge_prompt") is not None:
        body["judge_prompt"] = "{prompt} {first} {second}"


def name_for_judge(body: dict[str, Any], world: World) -> None:
    """Use a model of ours: an address would have to be resolved."""
    body |= {"kind": "deployment", "model": world.base}
    for of_endpoint in ("base_url", "secret"):
        body.pop(of_endpoint, None)


def name_for_agreement(body: dict[str, Any], world: World) -> None:
    body |= {"labels": "llmbar", "data": world.prompts}


ON_POLICY = {name for name, method in METHODS.items() if issubclass(method, OnPolicy)}


def name_for_key(body: dict[str, Any], world: World) -> None:
    if body.get("evaluation_id") is not None:
        body["evaluation_id"] = world.evaluation


def name_for_vote(body: dict[str, Any], _: World) -> None:
    """Edit the better answer, which OpenAPI can't express."""
    if body.get("edit"):
        body["edit"] = {"side": int(body["choice"] == "b"), "text": "Edited."}


def name_for_votes(body: dict[str, Any], _: World) -> None:
    body["filter"] = {"model": SERVED}


def name_for_webhook(body: dict[str, Any], _: World) -> None:
    body["url"] = "http://127.0.0.1:9/"


NAMED = {
    "POST /v1/api_keys": name_for_key,
    "POST /v1/webhooks": name_for_webhook,
    "POST /v1/comparisons/{comparison_id}/vote": name_for_vote,
    "POST /v1/votes/files": name_for_votes,
    "POST /v1/fine_tuning/jobs": name_for_job,
    "POST /v1/fine_tuning/jobs/check": name_for_job,
    "POST /v1/fine_tuning/jobs/estimate": name_for_job,
    "POST /v1/evaluations": name_for_evaluation,
    "POST /v1/evaluations/check": name_for_evaluation,
    "POST /v1/judges": name_for_judge,
    "POST /v1/judges/{judge_id}/agreement": name_for_agreement,
}


def name_for_upload(label: str, body: dict[str, Any], world: World) -> None:
    if label == "POST /v1/uploads":
        body |= {"filename": "a.jsonl", "purpose": "fine-tune", "bytes": 1}
    if body.get("columns") is not None:  # each column may be named once
        body["columns"] = {"prompt": "question"}
    if label == "POST /v1/uploads/{upload_id}/complete":
        body["part_ids"] = [world.part]
        body.pop("md5", None)


def form_of(label: str, case: Case) -> dict[str, Any]:
    """The form of an upload; the file needs a name, which OpenAPI can't express."""
    if label == "POST /v1/uploads/{upload_id}/parts":
        return {"files": {"data": ("part", b"{}")}}  # the announced size leaves room for it
    if label != "POST /v1/files":
        return {}
    assert isinstance(case.body, dict)
    return {
        "files": {"file": ("a.jsonl", case.body["file"] or b"{}")},
        "data": {"purpose": "fine-tune"},
    }


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_the_document_allows_is_accepted(label: str, asgi: ASGIClient, world: World) -> None:
    cases = examples(label, GenerationMode.POSITIVE, EACH)
    accepted = 0
    for case in islice(cycle(cases), EACH):
        name_what_exists(label, case, world)
        response = ask(asgi, case, AUTHORIZED, **form_of(label, case))
        assert response.status_code < 300, (case.as_curl_command(), response.text)
        accepted += 1
    assert accepted == EACH


def test_after_is_documented_as_an_id() -> None:
    """The tests above replace `after` by an existing id, so its schema is checked here."""
    for label, operation in OPERATIONS.items():
        for parameter in operation.definition.raw.get("parameters", []):
            if parameter["name"] == "after":
                assert parameter["schema"]["type"] == "string", label
                assert parameter["schema"]["minLength"] == 1, label


@pytest.mark.parametrize("label", sorted(set(OPERATIONS) - NEVER_REFUSED))
def test_what_the_document_forbids_is_refused(label: str, asgi: ASGIClient, world: World) -> None:
    """Send forbidden values; for an operation without parameters, requests without a key."""
    operation, refused = OPERATIONS[label], 0
    takes_nothing = not operation.path_parameters and not operation.query and not operation.body
    mode = GenerationMode.POSITIVE if takes_nothing else GenerationMode.NEGATIVE
    headers = {} if takes_nothing else AUTHORIZED
    for case in islice(cycle(examples(label, mode, 3 * EACH)), 3 * EACH):
        response = ask(asgi, case, headers)
        refused += 400 <= response.status_code < 500
        if refused == EACH:
            break
    assert refused == EACH
