"""No answer is larger than 2 MB, whatever is stored, and lists still return every item."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.app import create_app
from models import ApiKey
from orpo.contract.methods import METHODS
from services.access.callers import Caller, Scope
from services.files import seed, uploads
from services.platform.database import transaction
from services.platform.settings import get_settings
from tests import records
from tests.api.full_lists import FILLED, LONG, WIDE, Ids, votes

MOST_BYTES = 2 * 10**6
DOCUMENT = create_app().openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
JOBS = "/v1/fine_tuning/jobs"
# Users can't add to these lists; their length is fixed by the release.
FIXED = ("/v1/fine_tuning/methods", "/v1/suites")


def lists() -> Iterator[str]:
    """The paths that answer with a list."""
    for path, operations in DOCUMENT["paths"].items():
        content = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        schema = SCHEMAS.get(reference.rpartition("/")[2], {})
        if schema.get("properties", {}).get("data", {}).get("type") == "array":
            yield path


LISTS = sorted(lists())
PARAMETERS = {path: DOCUMENT["paths"][path]["get"].get("parameters", []) for path in LISTS}


@pytest.fixture
def mine(client: TestClient) -> Caller:
    with transaction() as session:
        key = session.scalars(select(ApiKey)).one()
        return Caller(seed.ORG_ID, key.id, frozenset(Scope))


def largest_job(client: TestClient, mine: Caller) -> Any:
    """Create a job with as much text as the document of the methods allows."""
    with transaction() as session:
        base, file = records.base_model(session, mine).id, records.file(session, mine).id
    names = METHODS["orpo"].model_json_schema()["properties"]["modules_to_save"]
    longest = names["items"].get("maxLength", 2000)
    settings = {"modules_to_save": [WIDE * longest] * names["maxItems"]}
    metadata = {f"{n:02}{WIDE * 62}": WIDE * 512 for n in range(16)}
    method = {"type": "orpo", "orpo": {"hyperparameters": settings}}
    body = {"model": base, "training_file": file, "method": method, "metadata": metadata}
    return client.post(JOBS, json=body)


def fill(path: str, client: TestClient, mine: Caller) -> tuple[str, Ids]:
    """Fill a list; return its path with the owner's id filled in, and the ids of the items."""
    if path == JOBS:
        return path, [largest_job(client, mine).json()["id"] for _ in range(15)]
    with transaction() as session:
        found = FILLED[path](session, mine)
    owner, ids = found if isinstance(found, tuple) else ("", found)
    owners = iter(owner.split("/"))
    filled = (next(owners) if part.startswith("{") else part for part in path.split("/"))
    return "/".join(filled), ids


def pages(client: TestClient, path: str, filled: str) -> Iterator[dict[str, Any]]:
    """Read a list to its end with the largest limit; `path` is the path in the document."""
    limits = [p["schema"]["maximum"] for p in PARAMETERS[path] if p["name"] == "limit"]
    query: dict[str, Any] = {"limit": max(limits, default=100), "buckets": 5000}
    while True:
        answer = client.get(filled, params=query)
        assert answer.status_code == 200, answer.text[:500]
        assert len(answer.content) < MOST_BYTES
        page = answer.json()
        yield page
        if not page["has_more"]:
            return
        if "offset" in page:
            query["offset"] = page["offset"] + len(page["data"])
        else:
            query["after"] = page["last_id"]


def id_of(item: dict[str, Any]) -> str:
    return item.get("id") or item.get("key") or str(item["line"])


@pytest.mark.parametrize("path", [path for path in LISTS if path not in FIXED])
def test_every_list_is_read_in_pages_that_are_not_too_large(
    path: str, client: TestClient, mine: Caller
) -> None:
    filled, expected = fill(path, client, mine)
    found = list(pages(client, path, filled))
    ids = [id_of(item) for page in found for item in page["data"]]
    assert sorted(ids) == sorted(expected)
    assert len(found) > 1


@pytest.mark.parametrize("path", [path for path in LISTS if "after" in str(PARAMETERS[path])])
def test_a_place_that_never_was_is_refused(path: str, client: TestClient, mine: Caller) -> None:
    with transaction() as session:
        job, file = records.job(session, mine).id, records.file(session, mine).id
        upload = uploads.create(session, mine, uploads.Announced("a.jsonl", "fine-tune", 1)).id
        evaluation = records.evaluation(session, mine).id
        webhook = records.webhook(session, mine).id
    owners = {"job": job, "file": file, "upload": upload, "evaluation": evaluation}
    owners["webhook"] = webhook
    filled = path.format(**{f"{owner}_id": owner_id for owner, owner_id in owners.items()})
    answer = client.get(filled, params={"after": "no-such-item"})
    if path.endswith("/events"):  # an unknown id is before the first event
        assert answer.json()["data"] == []
    else:
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")


def test_what_this_release_lists_is_small(client: TestClient) -> None:
    for path in FIXED:
        assert len(client.get(path).content) < MOST_BYTES


def test_a_row_that_is_too_large_is_cut_and_says_so(client: TestClient, mine: Caller) -> None:
    for path in ("/v1/files/{file_id}/rows", f"{JOBS}/{{job_id}}/pairs"):
        filled, _ = fill(path, client, mine)
        items = [item for page in pages(client, path, filled) for item in page["data"]]
        (cut,) = [item for item in items if item["cut"]]
        assert cut["line"] == 16
        assert len(cut["prompt"]) == 1024
        assert "more characters]" in json.dumps(cut["chosen"], ensure_ascii=False)


def test_an_object_with_long_texts_is_cut_and_says_so(client: TestClient, mine: Caller) -> None:
    finding = {"line": 1, "column": None, "code": "bad_json", "message": LONG}
    facts = {"rows": 0, "accepted": 0, "dropped": {}, "shape": None, "shapes": {}}
    with transaction() as session:
        report = {**facts, "findings": [finding] * 100}
        file = records.file(session, mine, report=report).id
        comparison = votes(session, mine)[0]
    for path in (f"/v1/files/{file}/report", f"/v1/comparisons/{comparison}"):
        answer = client.get(path)
        assert len(answer.content) < MOST_BYTES
        assert answer.json()["cut"] is True


def test_a_log_of_control_characters_is_not_six_times_as_large(
    client: TestClient, mine: Caller
) -> None:
    with transaction() as session:
        job = records.job(session, mine, generation=1).id
    log = get_settings().runs_dir / job / "g1" / "train.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\x01" * 2**20 + b"the end")
    answer = client.get(f"{JOBS}/{job}/logs", params={"tail_bytes": 2**20})
    assert len(answer.content) < MOST_BYTES
    assert answer.json()["text"].endswith("the end")
    assert answer.json()["truncated"] is True


def test_an_error_quotes_no_more_than_a_few_lines(client: TestClient) -> None:
    job = {"model": "m", "training_file": "f"}
    long = "y" * 500_000
    for body in (
        {**job, "method": {"type": long}},
        {**job, "method": {"type": "orpo", long: {}}},
        {**job, long: 1},
    ):
        answer = client.post(JOBS, json=body)
        assert answer.status_code == 400
        assert len(answer.content) < 10_000
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models", dict.fromkeys(("id", "path", "hub_id", "revision"))),
        ("/v1/session", dict.fromkeys(("api_key", "token"))),
    ],
)
def test_a_null_is_no_error_of_the_server(
    path: str, body: dict[str, None], client: TestClient
) -> None:
    answer = client.post(path, json=body, headers={"Origin": "http://testserver"})
    assert answer.status_code == 400


def test_more_than_a_list_of_jobs_can_show_is_refused(client: TestClient, mine: Caller) -> None:
    assert largest_job(client, mine).status_code == 200
    settings = {"modules_to_save": ["x" * 190_000]}
    method = {"type": "orpo", "orpo": {"hyperparameters": settings}}
    body = {"model": "m", "training_file": "f", "method": method}
    refused = client.post(JOBS, json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "method.orpo.hyperparameters.modules_to_save.0"


def unbounded(schema: dict[str, Any], name: str, defs: dict[str, Any]) -> Iterator[str]:
    """The fields of a schema that take a text, a list or an object of any size."""
    if reference := schema.get("$ref"):
        schema = defs[reference.rpartition("/")[2]]
    if _has_no_end(schema):
        yield name
    for field, inner in _parts(schema):
        yield from unbounded(inner, name + field, defs)


def _has_no_end(schema: dict[str, Any]) -> bool:
    match schema.get("type"):
        case "string":
            # A pattern without * and + is a bound. Files are limited while they are received.
            endless = set("*+") & set(schema.get("pattern", "*"))
            bounds = schema.keys() & {"maxLength", "enum", "const"}
            return bool(endless) and not bounds and schema.get("format") != "binary"
        case "array":
            return "maxItems" not in schema
        case "object":
            other = schema.get("additionalProperties", True)
            allows_none = other is False or (isinstance(other, dict) and "enum" in other)
            return not allows_none and "maxProperties" not in schema
    return False


def _parts(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in ("anyOf", "oneOf", "allOf"):
        # Next to `properties`, these only say which properties are combined.
        yield from (("", option) for option in schema.get(each, []) if "properties" not in schema)
    yield from ((f".{field}", inner) for field, inner in schema.get("properties", {}).items())
    for inside in ("items", "additionalProperties"):
        if isinstance(schema.get(inside), dict):
            yield ".*", schema[inside]


def test_every_field_of_a_request_is_bounded() -> None:
    found = set[str]()
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                found |= set(unbounded(content["schema"], f"{method} {path}", SCHEMAS))
    for name, method in METHODS.items():
        schema = method.model_json_schema()
        found |= set(unbounded(schema, name, schema["$defs"]))
    # The schemas of the methods describe these; other fields are refused.
    places = ["", *(f".method.{name}" for name in METHODS)]
    jobs = (JOBS, f"{JOBS}/check", f"{JOBS}/estimate")
    settings = {f"post {path}{place}.hyperparameters" for path in jobs for place in places}
    # Unknown fields of these are ignored.
    content = "messages.*.content.*"
    sides = ("", "sides.*.")
    ignored = {f"post /v1/chat/completions.{content}", "post /v1/files"}
    ignored.add("post /v1/uploads/{upload_id}/parts")
    ignored |= {f"post /v1/comparisons.{side}{content}" for side in sides}
    assert found == settings | ignored
