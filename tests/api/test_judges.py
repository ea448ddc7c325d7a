"""Judges by REST: what is accepted, whose key is sent where, and their agreement with people."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text

from models import Comparison, Evaluation, EvaluationItem, File, Job, Judge
from models.base import new_id
from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations import endpoints, labelled
from services.files import seed
from services.platform import storage
from services.platform.database import transaction
from services.platform.errors import Unavailable
from tests import records
from tests.api.sent_files import error_of, jsonl, post

KEY = "sk-judge-7f3a9c"
URL = "http://127.0.0.1:9/v1"
SECRETS = {
    "ours": {"base_url": f"{URL}/", "key": KEY},
    "theirs": {"base_url": URL, "key": KEY, "orgs": ["org-other"]},
}
JUDGE = {"kind": "openai", "model": "judge-model", "base_url": URL, "secret": "ours"}
OWNER = Caller(seed.ORG_ID, None, records.SCOPES)
Set = Callable[..., None]


@pytest.fixture
def allowed(product: None, settings_from: Set) -> None:
    """The operator allows this machine's own addresses, and has stored keys."""
    settings_from(egress_allow="127.0.0.1", endpoint_secrets=json.dumps(SECRETS))


def add(client: TestClient, **changes: Any) -> Any:
    return client.post("/v1/judges", json=JUDGE | changes)


def test_a_judge_is_added_listed_and_deleted(client: TestClient, allowed: None) -> None:
    made = add(client, name="Strict", sampling={"max_tokens": 64}).raise_for_status().json()
    assert made["sampling"] == {"temperature": 0.0, "max_tokens": 64}
    assert (made["kind"], made["base_url"], made["secret"]) == ("openai", URL, "ours")
    other = add(client, base_url=f"{URL}/", secret=None).raise_for_status().json()
    assert (other["name"], other["base_url"]) == ("judge-model", URL)
    listed = client.get("/v1/judges").json()["data"]
    assert [judge["id"] for judge in listed] == [other["id"], made["id"]]
    path = f"/v1/judges/{made['id']}"
    assert client.get(path).json() == made
    assert client.delete(path).json() == {"id": made["id"], "object": "judge", "deleted": True}
    assert error_of(client.get(path), 404)["param"] == "judge_id"
    assert len(client.get("/v1/judges").json()["data"]) == 1
    entries = client.get("/v1/audit_log", params={"object_id": made["id"]}).json()["data"]
    assert [entry["action"] for entry in entries] == ["deleted", "created"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"base_url": None}, "base_url"),
        ({"base_url": "127.0.0.1/v1"}, "base_url"),
        ({"base_url": "ftp://127.0.0.1/v1"}, "base_url"),
        ({"base_url": "http://user:word@127.0.0.1:9/v1"}, "base_url"),
        ({"base_url": f"{URL}?key=1"}, "base_url"),
        ({"base_url": "http://[::1/v1"}, "base_url"),
        ({"base_url": "http://127.0.0.1:9/v1\x01"}, "base_url"),
        ({"base_url": "http://10.1.2.3/v1", "secret": None}, "base_url"),
        ({"base_url": "http://no-such-host.invalid/v1", "secret": None}, "base_url"),
        ({"secret": "unknown"}, "secret"),
        ({"secret": "theirs"}, "secret"),
        ({"base_url": "http://127.0.0.1:9/v2"}, "secret"),
        ({"kind": "deployment"}, "base_url"),
        ({"kind": "reward", "base_url": None}, "secret"),
        (
            {"kind": "reward", "base_url": None, "secret": None, "sampling": {"top_p": 1}},
            "sampling",
        ),
        ({"kind": "oracle"}, "kind"),
        ({"sampling": {"temperature": 3}}, "sampling.temperature"),
    ],
)
def test_what_no_judge_can_be_is_refused_by_field(
    client: TestClient, allowed: None, changes: dict[str, Any], param: str
) -> None:
    assert error_of(add(client, **changes), 400)["param"] == param


def test_a_judge_of_ours_is_a_model_that_fits_its_kind(client: TestClient, allowed: None) -> None:
    with transaction() as session:
        base = records.base_model(session, OWNER).id
    local = {"base_url": None, "secret": None, "model": base}
    assert add(client, kind="deployment", **local).json()["model"] == base
    assert "no reward model" in error_of(add(client, kind="reward", **local), 400)["message"]
    missing = add(client, kind="deployment", **local | {"model": "gone"})
    assert error_of(missing, 404)["param"] == "model"


def test_judges_of_others_are_not_there(client: TestClient, allowed: None, stranger: str) -> None:
    judge_id = add(client).json()["id"]
    as_stranger = {"Authorization": f"Bearer {stranger}"}
    assert client.get("/v1/judges", headers=as_stranger).json()["data"] == []
    for method, path in (
        ("GET", f"/v1/judges/{judge_id}"),
        ("DELETE", f"/v1/judges/{judge_id}"),
        ("POST", f"/v1/judges/{judge_id}/agreement"),
    ):
        body = {"labels": "votes"} if method == "POST" else None
        assert client.request(method, path, json=body, headers=as_stranger).status_code == 404
    # Secrets are the operator's organisation's, unless the operator says otherwise.
    refused = client.post("/v1/judges", json=JUDGE, headers=as_stranger)
    assert error_of(refused, 400)["param"] == "secret"


def test_a_key_is_nowhere_but_in_the_setting(
    client: TestClient, allowed: None, caplog: pytest.LogCaptureFixture, settings_from: Set
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [add(client), add(client, secret="theirs"), add(client, base_url=f"{URL}/x")]
    assert endpoints.headers(seed.ORG_ID, URL, "ours") == {"Authorization": f"Bearer {KEY}"}
    settings_from(endpoint_secrets=f'{{"ours": {{"base_url": "{URL}", "key": "{KEY}"')
    answers.append(add(client))
    assert error_of(answers[-1], 503)["code"] == "bad_endpoint_secrets"
    with pytest.raises(Unavailable) as misconfigured:
        endpoints.headers(seed.ORG_ID, URL, "ours")
    with transaction() as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        stored = [session.scalars(text(f"SELECT t::text FROM {name} t")).all() for name in tables]
    everywhere = [answer.text for answer in answers], stored, caplog.text, misconfigured.value
    assert KEY not in repr(everywhere) + str(misconfigured.getrepr(style="long"))


# --- agreement ------------------------------------------------------------------------------------

LLMBAR = [
    {"input": "Add 1 and 1.", "output_1": "2", "output_2": "3", "label": 1},
    {"input": "Add 1 and 2.", "output_1": "4", "output_2": "3", "label": 2},
    {"input": "Add 1 and 2.", "output_1": "4", "output_2": "3", "label": 2},
    {"input": "Add 1 and 3.", "output_1": "4", "output_2": "5", "label": 7},
]


def measure(client: TestClient, judge_id: str, **body: Any) -> Any:
    return client.post(f"/v1/judges/{judge_id}/agreement", json=body)


def vote(
    choice: str | None,
    texts: tuple[str, str] = ("a", "b"),
    asks: tuple[str, str] = ("Why?", "Why?"),
) -> None:
    sides = [
        {"side": n, "text": said, "asked": {"messages": [{"role": "user", "content": asked}]}}
        for n, (said, asked) in enumerate(zip(texts, asks, strict=True))
    ]
    with transaction() as session:
        session.add(
            Comparison(
                id=new_id("cmp"), org_id=seed.ORG_ID, sides=sides, choice=choice,
                ended_at=func.clock_timestamp(),
            )
        )  # fmt: skip


def prepared(evaluation_id: str) -> list[EvaluationItem]:
    """Write the items, as the worker does."""
    with transaction() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        job = session.get_one(Job, evaluation_id)
        file = session.get_one(File, job.training_file)
        labelled.prepare(session, evaluation.id, labelled.read(evaluation, file))
        session.flush()
        return list(session.scalars(select(EvaluationItem).order_by(EvaluationItem.place)))


def base(client: TestClient) -> None:
    with transaction() as session:
        records.base_model(session, OWNER)


def test_labelled_pairs_of_a_file_become_items(
    client: TestClient, allowed: None, work: Callable[[], None]
) -> None:
    base(client)
    judge_id = add(client).json()["id"]
    data = post(client, jsonl(LLMBAR), purpose="evals").json()["id"]
    work()
    made = measure(client, judge_id, labels="llmbar", data=data, limit=5).raise_for_status().json()
    assert (made["suite"]["name"], made["status"]) == ("agreement", "queued")
    assert made["model"]["model"] == "judge-model"
    items = prepared(made["id"])
    assert [(item.line, item.reference["label"]) for item in items] == [(1, 1.0), (2, 0.0)]
    assert items[0].turns == [[{"role": "user", "content": "Add 1 and 1."}]]
    assert items[0].answers != items[0].baseline_answers
    counts = client.get(f"/v1/evaluations/{made['id']}").json()["counts"]
    assert (counts["of"], counts["prompts"], counts["repeated"]) == (2, 2, 1)
    listed = client.get(f"/v1/evaluations/{made['id']}/items").raise_for_status().json()["data"]
    said = [(item["answers"][0]["text"], item["baseline_answers"][0]["text"]) for item in listed]
    assert said == [("2", "3"), ("4", "3")]
    # While it needs the judge, the judge stays.
    assert error_of(client.delete(f"/v1/judges/{judge_id}"), 409)["code"] == "judge_in_use"
    client.post(f"/v1/evaluations/{made['id']}/cancel").raise_for_status()
    client.delete(f"/v1/judges/{judge_id}").raise_for_status()
    assert client.get(f"/v1/evaluations/{made['id']}").json()["judge"]["id"] == judge_id


def test_votes_are_taken_as_they_are_when_it_is_created(client: TestClient, allowed: None) -> None:
    base(client)
    judge_id = add(client).json()["id"]
    vote(None)
    vote("a", asks=("Why?", "How?"))
    assert error_of(measure(client, judge_id, labels="votes"), 409)["code"] == "no_votes"
    vote("a", ("yes", "no"))
    vote("b", ("1", "2"))
    vote("tie", ("x", "y"))
    vote("both_bad", ("p", "q"))
    made = measure(client, judge_id, labels="votes").raise_for_status().json()
    vote("a", ("late", "later"))
    assert [item.reference["label"] for item in prepared(made["id"])] == [1.0, 0.0, 0.5, 0.5]
    with transaction() as session:
        job = session.get_one(Job, made["id"])
        assert (job.state, job.result_files) == (JobState.QUEUED, [job.training_file])
        with storage.reading(session.get_one(File, job.training_file).storage_key) as lines:
            assert len(list(lines)) == 4


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"labels": "votes", "data": "file-1"}, 400, "data"),
        ({"labels": "llmbar"}, 400, "data"),
        ({"labels": "llmbar", "data": "file-none"}, 400, "data"),
        ({"labels": "mine"}, 400, "labels"),
        ({"labels": "votes", "limit": 0}, 400, "limit"),
    ],
)
def test_what_can_t_be_compared_is_refused_by_field(
    client: TestClient, allowed: None, body: dict[str, Any], status: int, param: str
) -> None:
    base(client)
    judge_id = add(client).json()["id"]
    assert error_of(measure(client, judge_id, **body), status)["param"] == param


def test_the_result_is_stored_with_the_judge(client: TestClient, allowed: None) -> None:
    base(client)
    judge_id = add(client).json()["id"]
    vote("a")
    made = measure(client, judge_id, labels="votes").json()
    prepared(made["id"])
    with transaction() as session:
        evaluation = session.get_one(Evaluation, made["id"])
        found = labelled.summarise(session, evaluation, seed.ORG_ID)
        assert found.details["agreement"]["unparsed"] == 1  # nothing was judged
        labelled.store_with_judge(session, evaluation, found.details["agreement"])
        session.get_one(Judge, judge_id).agreement |= {"llmbar": {"n": 1, "of_a_later_release": 2}}
    agreement = client.get(f"/v1/judges/{judge_id}").json()["agreement"]["votes"]
    assert (agreement["n"], agreement["average"], agreement["worse_than_a_coin"]) == (
        0,
        None,
        False,
    )
    assert agreement["evaluation"] == made["id"]
