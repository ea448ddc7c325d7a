"""Evaluations over HTTP: what is accepted, how they are listed, read, followed and compared."""

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from api import job_stream
from models import Job
from models.jobs import JobState, Purpose
from services.evaluations.suites import SUITES
from services.platform.database import transaction
from services.platform.errors import NotFound
from services.runs import job_events
from tests import records
from tests.api.conftest import OTHER
from tests.api.sent_files import error_of
from tests.api.stored_evaluations import CALLER, PATH, estimate, score, stored

SUBSET = {"of": 541, "prompts": 100, "answered": 94}


def prompts(session: Session, suites: list[str]) -> str:
    """A file of prompts that these suites can use."""
    found = {"suites": suites, "unfit": {}, "repeated": 0, "categories": {}}
    report = {"rows": 8, "accepted": 8, "dropped": {}, "shapes": {}, "prompts": found}
    return records.file(session, CALLER, purpose="evals", report=report).id


@pytest.fixture
def body(product: None) -> dict[str, Any]:
    """A request that is accepted."""
    with transaction() as session:
        model = records.base_model(session, CALLER).id
        return {"model": model, "suite": "ifeval", "data": prompts(session, ["ifeval", "custom"])}


@pytest.fixture
def custom(body: dict[str, Any]) -> dict[str, Any]:
    """A request for a suite that needs a judge and a baseline."""
    with transaction() as session:
        baseline = records.base_model(session, CALLER).id
        judge = records.judge(session, CALLER).id
    return body | {"suite": "custom", "baseline": baseline, "judge": judge}


def create(client: TestClient, body: dict[str, Any], **more: Any) -> Any:
    return client.post(PATH, json=body | more)


def test_an_evaluation_is_created_and_is_no_job(client: TestClient, body: dict[str, Any]) -> None:
    made = create(client, body, limit=20, seed=7, metadata={"note": "x"}).raise_for_status().json()
    assert (made["object"], made["status"]) == ("evaluation", "queued")
    assert made["suite"] == {
        "name": "ifeval", "title": "IFEval", "data": body["data"], "sha256": "0",
    }  # fmt: skip
    assert (made["model"]["model"], made["model"]["kind"]) == (body["model"], "model")
    assert (made["baseline"], made["judge"], made["progress"]) == (None, None, None)
    assert (made["limit"], made["seed"], made["orders"], made["deploy"]) == (20, 7, 2, False)
    assert made["sampling"] == SUITES["ifeval"].sampling
    assert made["metadata"] == {"note": "x"}
    assert (made["counts"], made["scores"], made["is_incomplete"]) == ({}, [], False)
    assert client.get(f"{PATH}/{made['id']}").json() == made
    assert client.get(PATH).json()["data"] == [made]
    assert client.get(f"/v1/fine_tuning/jobs/{made['id']}").status_code == 404
    assert client.get("/v1/fine_tuning/jobs").json()["data"] == []
    (entry, *_) = client.get("/v1/audit_log").json()["data"]
    assert (entry["action"], entry["object_type"]) == ("created", "evaluation")
    assert entry["object_id"] == made["id"]


def test_a_judge_a_baseline_and_sampling_are_kept(
    client: TestClient, custom: dict[str, Any]
) -> None:
    prompt = "{prompt} {first} {second}"
    sampling = {"temperature": 0.7, "max_tokens": 9}
    made = create(client, custom, orders=1, judge_prompt=prompt, sampling=sampling).json()
    assert made["baseline"]["model"] == custom["baseline"]
    assert (made["judge"]["id"], made["judge"]["object"]) == (custom["judge"], "judge")
    assert (made["orders"], made["judge_prompt"], made["sampling"]) == (1, prompt, sampling)


def test_a_prompt_gets_several_answers_in_the_suite_diversity(
    client: TestClient, body: dict[str, Any]
) -> None:
    # Its file was validated by a release that did not know the suite.
    asked = body | {"suite": "diversity"}
    made = create(client, asked).raise_for_status().json()
    assert (made["samples"], made["sampling"]["temperature"], made["diversity"]) == (5, 1.0, None)
    given = {"samples": 20, "sampling": {"temperature": 0.1}}
    made = create(client, asked, **given).raise_for_status().json()
    assert (made["samples"], made["sampling"]["temperature"]) == (20, 0.1)
    assert create(client, body).json()["samples"] is None
    for changes, param in SAMPLES:
        answer = create(client, asked, **changes)
        assert error_of(answer, 400)["param"] == param, changes
    (suite,) = [s for s in client.get("/v1/suites").json()["data"] if s["id"] == "diversity"]
    assert (suite["samples"], suite["lower_is"], suite["judge"]) == (5, "more diverse", "no")


SAMPLES: list[tuple[dict[str, Any], str]] = [
    ({"samples": 1}, "samples"),
    ({"samples": 21}, "samples"),
    ({"samples": "5"}, "samples"),
    ({"samples": 2.5}, "samples"),
    ({"suite": "ifeval", "samples": 5}, "samples"),
    ({"sampling": {"temperature": 0}}, "sampling.temperature"),
    ({"judge": "judge-1"}, "judge"),
]


def test_what_the_vectors_were_made_with_is_shown(client: TestClient, product: None) -> None:
    facts = {
        "embedder": "e", "embedder_sha256": "0", "max_tokens": 256, "embedded": 9, "truncated": 1,
    }  # fmt: skip
    with transaction() as session:
        options = {"samples": 3}
        found = stored(session, suite="diversity", options=options, details={"diversity": facts})
    shown = client.get(f"{PATH}/{found}").json()
    assert (shown["diversity"], shown["samples"]) == (facts, 3)

    async def follow() -> bytes:
        follower = job_stream.follow(CALLER, found, None, Purpose.EVALUATION)
        try:
            return await anext(follower)
        finally:
            await follower.aclose()

    assert b'"embedder":"e"' in asyncio.run(follow())


def test_an_endpoint_is_a_baseline(
    client: TestClient, body: dict[str, Any], settings_from: Any
) -> None:
    settings_from(egress_allow="127.0.0.1")
    endpoint = {"base_url": "http://127.0.0.1:9/v1/", "model": "gpt"}
    made = create(client, body, baseline=endpoint).raise_for_status().json()
    side = made["baseline"]
    assert (side["kind"], side["base_url"]) == ("endpoint", "http://127.0.0.1:9/v1")
    assert (side["model"], side["secret"], side["weights_sha256"]) == ("gpt", None, None)


def test_a_repeated_request_creates_one(client: TestClient, body: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "once"}
    ids = {client.post(PATH, json=body, headers=headers).json()["id"] for _ in range(2)}
    assert len(ids) == 1
    other = client.post(PATH, json=body | {"limit": 3}, headers=headers)
    assert error_of(other, 422)["param"] == "Idempotency-Key"


PRIVATE = {"base_url": "http://10.0.0.1/v1", "model": "m"}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": 1}, "model"),
    ({"model": ""}, "model"),
    ({"model": "nowhere"}, "model"),
    ({"suite": "nosuite"}, "suite"),
    ({"suite": ["ifeval"]}, "suite"),
    ({"suite": "custom"}, "baseline"),
    ({"suite": "mt_bench"}, "judge"),
    ({"judge": "judge-none"}, "judge"),
    ({"data": "file-none"}, "data"),
    ({"data": None}, "data"),
    ({"baseline": "nowhere"}, "baseline"),
    ({"baseline": 1}, "baseline"),
    ({"baseline": []}, "baseline"),
    ({"baseline": {"model": "m"}}, "baseline.base_url"),
    ({"baseline": {"base_url": "https://h/v1"}}, "baseline.model"),
    ({"baseline": PRIVATE}, "baseline.base_url"),
    ({"baseline": PRIVATE | {"base_url": "ftp://h/v1"}}, "baseline.base_url"),
    ({"baseline": PRIVATE | {"key": "sk-1"}}, "baseline.key"),
    ({"baseline": PRIVATE | {"secret": 1}}, "baseline.secret"),
    ({"orders": 3}, "orders"),
    ({"orders": 0}, "orders"),
    ({"orders": "2"}, "orders"),
    ({"orders": None}, "orders"),
    ({"limit": 0}, "limit"),
    ({"limit": 20_001}, "limit"),
    ({"limit": 1.5}, "limit"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**31}, "seed"),
    ({"sampling": {"temperature": 2.1}}, "sampling.temperature"),
    ({"sampling": {"temperature": "hot"}}, "sampling.temperature"),
    ({"sampling": {"top_p": 0}}, "sampling.top_p"),
    ({"sampling": {"top_p": 1.1}}, "sampling.top_p"),
    ({"sampling": {"max_tokens": 0}}, "sampling.max_tokens"),
    ({"sampling": {"max_tokens": 100_001}}, "sampling.max_tokens"),
    ({"sampling": {"seed": 1}}, "sampling.seed"),
    ({"sampling": 1}, "sampling"),
    ({"deploy": "yes"}, "deploy"),
    ({"metadata": {"k": 1}}, "metadata.k"),
    ({"metadata": {"k" * 65: "v"}}, f"metadata.{'k' * 64}"),
    ({"judge_prompt": "{prompt}"}, "judge_prompt"),
    ({"judge_prompt": "\0"}, "judge_prompt"),
    ({"models": "typo"}, "models"),
]


def test_bad_input_is_refused_by_field(client: TestClient, body: dict[str, Any]) -> None:
    for changes, param in BAD:
        answer = create(client, body, **changes)
        assert answer.status_code in (400, 404), (changes, answer.text)
        error = answer.json()["error"]
        assert error["param"] == param, (changes, error)
        assert error["message"].endswith((".", ")"))


NEEDED: list[tuple[dict[str, Any], str]] = [
    ({"suite": "alpaca_eval", "judge": None}, "judge"),
    ({"baseline": None}, "baseline"),
    ({"judge_prompt": "{prompt} {first}"}, "judge_prompt"),
    ({"suite": "reward"}, "judge"),  # the judge is no reward model
]


def test_what_a_suite_needs_is_asked_for(client: TestClient, custom: dict[str, Any]) -> None:
    for changes, param in NEEDED:
        assert error_of(create(client, custom, **changes), 400)["param"] == param, changes


def test_the_model_is_no_baseline_of_itself(client: TestClient, body: dict[str, Any]) -> None:
    assert error_of(create(client, body, baseline=body["model"]), 400)["param"] == "baseline"


def test_what_another_organisation_has_is_not_found(
    client: TestClient, custom: dict[str, Any], stranger: str
) -> None:
    with transaction() as session:
        theirs = records.caller(session)
        named = {
            "model": records.base_model(session, theirs).id,
            "baseline": records.base_model(session, theirs).id,
            "data": records.file(session, theirs).id,
            "judge": records.judge(session, theirs).id,
        }
        evaluation = stored(session)
        queued = stored(session, JobState.QUEUED)
    for field, value in named.items():
        answer = create(client, custom, **{field: value})
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]["param"] == field
    headers = {"Authorization": f"Bearer {stranger}"}
    assert client.get(PATH, headers=headers).json()["data"] == []
    for method, path in (
        ("GET", ""), ("GET", "/items"), ("GET", "/events"), ("GET", "/stream"), ("DELETE", ""),
    ):  # fmt: skip
        answer = client.request(method, f"{PATH}/{evaluation}{path}", headers=headers)
        assert error_of(answer, 404)["param"] == "evaluation_id"
    answer = client.post(f"{PATH}/{queued}/cancel", headers=headers)
    assert error_of(answer, 404)["param"] == "evaluation_id"
    ids = f"{evaluation},{queued}"
    compared = client.get(f"{PATH}/compare", params={"ids": ids}, headers=headers)
    assert error_of(compared, 404)["param"] == "ids"


def test_the_list_is_filtered_and_read_in_pages(client: TestClient, product: None) -> None:
    with transaction() as session:
        model = records.base_model(session, CALLER).id
        ids = [
            stored(session, suite=suite, target={"model": model}) for suite in ("ifeval", "custom")
        ]
        other = stored(session)
    listed = client.get(PATH).json()["data"]
    assert [each["id"] for each in listed] == [other, *ids[::-1]]
    of_model = client.get(PATH, params={"model": model, "limit": 1}).json()
    assert ([e["id"] for e in of_model["data"]], of_model["has_more"]) == ([ids[1]], True)
    rest = client.get(PATH, params={"model": model, "after": of_model["last_id"]}).json()
    assert ([e["id"] for e in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    of_suite = client.get(PATH, params={"model": model, "suite": "custom"}).json()["data"]
    assert [each["id"] for each in of_suite] == [ids[1]]
    for query in ({"limit": "0"}, {"limit": "101"}, {"after": "eval-none"}, {"model": ""}):
        assert error_of(client.get(PATH, params=query), 400)["param"] == next(iter(query))


def test_scores_and_what_limits_them_are_shown(client: TestClient, product: None) -> None:
    preference = {"win_rate": estimate(0.6), "wins": 3, "draws": 0, "losses": 2, "unparsed": 0}
    rewards = {"edges": [0.0, 1.0], "model": [5], "baseline": None}
    with transaction() as session:
        found = stored(
            session,
            target={"model": "tuned", "weights_sha256": "ab", "engine": "0.10"},
            baseline={"base_url": "https://h/v1", "model": "gpt", "secret": "theirs"},
            counts=SUBSET,
            scores=[score("prompt_strict", 0.6, difference=estimate(0.1))],
            details={"preference": preference, "rewards": rewards},
            options={"judge_prompt": "{prompt}"},
        )
        running = stored(session, JobState.RUNNING, counts=SUBSET)
        session.get_one(Job, running).progress = {"phase": "answers", "done": 94, "total": 100}
    shown = client.get(f"{PATH}/{found}").json()
    assert (shown["is_subset"], shown["is_incomplete"]) == (True, True)
    assert shown["scores"][0]["difference"] == estimate(0.1)
    assert (shown["preference"], shown["rewards"]) == (preference, rewards)
    assert (shown["model"]["weights_sha256"], shown["model"]["engine"]) == ("ab", "0.10")
    assert (shown["baseline"]["kind"], shown["baseline"]["secret"]) == ("endpoint", "theirs")
    shown = client.get(f"{PATH}/{running}").json()
    assert (shown["status"], shown["is_incomplete"]) == ("running", False)
    assert shown["progress"] == {"phase": "answers", "done": 94, "total": 100}


def test_an_agreement_is_complete_without_answers(client: TestClient, product: None) -> None:
    share = estimate(0.7)
    found = {"average": share, "n": 96, "unparsed": 4, "worse_than_a_coin": False}
    with transaction() as session:
        evaluation = stored(
            session, suite="agreement", options={"labels": "votes"},
            counts={"of": 100, "prompts": 100, "judged": 96}, details={"agreement": found},
        )  # fmt: skip
    shown = client.get(f"{PATH}/{evaluation}").json()
    assert (shown["labels"], shown["agreement"]) == ("votes", found)
    assert (shown["is_incomplete"], shown["judges_itself"]) == (False, None)


def test_an_evaluation_is_cancelled_and_deleted(client: TestClient, body: dict[str, Any]) -> None:
    path = f"{PATH}/{create(client, body).json()['id']}"
    error = error_of(client.delete(path), 409)
    assert (error["code"], error["param"]) == ("job_not_ended", "evaluation_id")
    assert client.post(f"{path}/cancel").json()["status"] == "cancelled"
    assert error_of(client.post(f"{path}/cancel"), 409)["param"] == "evaluation_id"
    assert client.delete(path).json()["object"] == "evaluation"
    assert client.get(path).status_code == 404
    assert client.get(PATH).json()["data"] == []
    log = client.get("/v1/audit_log").json()["data"]
    assert [entry["action"] for entry in log[:3]] == ["deleted", "cancelled", "created"]


def test_a_key_without_the_scope_changes_nothing(
    client: TestClient, body: dict[str, Any], other: None
) -> None:
    made = client.post("/v1/api_keys", json={"name": "reader", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert client.post(PATH, json=body, headers=headers).status_code == 403
    assert client.get(PATH, headers=headers).status_code == 200
    assert client.get(PATH, headers={"Authorization": f"Bearer {OTHER}"}).status_code == 200


def test_events_are_listed(client: TestClient, product: None) -> None:
    with transaction() as session:
        evaluation = stored(session)
        job = session.get_one(Job, evaluation)
        job_events.note(session, job, "One.")
        job_events.note(session, job, "Two.")
    found = client.get(f"{PATH}/{evaluation}/events").json()
    assert [event["message"] for event in found["data"][:2]] == ["Two.", "One."]


def test_the_stream_has_the_state_and_the_events(client: TestClient, product: None) -> None:
    with transaction() as session:
        evaluation = stored(session, counts=SUBSET, scores=[score("prompt_strict", 0.6)])
        job_events.note(session, session.get_one(Job, evaluation), "Scored.")
    sent = client.get(f"{PATH}/{evaluation}/stream").text
    assert '"status":"succeeded"' in sent
    assert '"counts":{"of":541,"prompts":100,"answered":94}' in sent
    assert '"metric":"prompt_strict"' in sent
    assert "Scored." in sent
    assert sent.rstrip().endswith("[DONE]")


def test_a_stream_that_is_open_is_found_by_its_own_path_alone(product: None) -> None:
    with transaction() as session:
        evaluation = stored(session, JobState.RUNNING)

    async def look() -> None:
        follower = job_stream.follow(CALLER, evaluation, None, Purpose.EVALUATION)
        assert b'"status":"running"' in await anext(follower)
        await job_stream.admit(CALLER, evaluation, Purpose.EVALUATION)
        with pytest.raises(NotFound):
            await job_stream.admit(CALLER, evaluation)
        await follower.aclose()

    asyncio.run(look())


def test_suites_are_listed_with_what_they_need(client: TestClient, product: None) -> None:
    found = {suite["id"]: suite for suite in client.get("/v1/suites").json()["data"]}
    assert found.keys() == SUITES.keys()
    assert (found["custom"]["judge"], found["custom"]["baseline"]) == ("optional", "yes")
    assert found["ifeval"]["metrics"][0] == "prompt_strict"
    assert isinstance(found["ifeval"]["official_sha256"], str)
