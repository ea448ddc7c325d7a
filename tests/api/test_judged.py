"""Findings of deep audits over HTTP: in a file's report, its rows, and the recipes of versions."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from models import File, Job
from services.access.callers import Caller
from services.files import seed
from services.files.keys import judged_key, result_id
from services.platform import storage
from services.platform.database import transaction
from services.upkeep import removals
from tests import records
from tests.api.made_versions import make, quick, show
from tests.api.test_files import error_of, jsonl, post

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
PAIRS = [{"prompt": f"Question {n}?", "chosen": f"Yes {n}.", "rejected": "No."} for n in range(6)]
DROP = {"step": "drop", "finding": "likely_swapped"}
SWAP = {"step": "swap", "finding": "likely_swapped"}

__all__ = ["quick"]  # the recipes of these tests run in this process


@pytest.fixture
def file_id(client: TestClient, work: Callable[[], None]) -> str:
    made = post(client, jsonl(PAIRS), "pairs.jsonl").json()["id"]
    work()
    return made


def judged(*swapped: int, unclear: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """What a deep audit says of six pairs: these places are likely swapped."""
    return [
        records.JUDGED[0]
        | {
            "place": place,
            "line": place + 1,
            "opinion": "likely_swapped"
            if place in swapped
            else "unclear"
            if place in unclear
            else "supported",
        }
        for place in range(6)
    ]


def audited(file_id: str, *swapped: int, unclear: tuple[int, ...] = ()) -> str:
    """The id of a new deep audit of the file."""
    with transaction() as session:
        pairs = judged(*swapped, unclear=unclear)
        return records.deep_audit(session, CALLER, file_id, pairs).id


def lines(client: TestClient, file_id: str) -> list[tuple[str, str]]:
    """The answers of a version's rows."""
    rows = client.get(f"/v1/files/{file_id}/rows").raise_for_status().json()["data"]
    return [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]


def named(client: TestClient, file_id: str, finding: str) -> list[int]:
    page = client.get(f"/v1/files/{file_id}/rows", params={"finding": finding})
    return [row["line"] for row in page.raise_for_status().json()["data"]]


def test_the_newest_deep_audit_is_in_the_rows_and_in_the_report(
    client: TestClient, file_id: str
) -> None:
    audited(file_id, 0)
    newest = audited(file_id, 1, 4, unclear=(5,))
    assert named(client, file_id, "likely_swapped") == [2, 5]
    assert named(client, file_id, "unclear") == [6]
    rows = client.get(f"/v1/files/{file_id}/rows").json()["data"]
    codes = [row["findings"] for row in rows]
    assert "likely_swapped" in codes[4]
    assert "likely_swapped" not in codes[0]
    with transaction() as session:
        # The other tests of a report have an audit in a process; here, one is enough.
        file = session.get_one(File, file_id)
        file.report = {**(file.report or {}), "audit": AUDIT}
    report = client.get(f"/v1/files/{file_id}/report").raise_for_status().json()
    (found,) = report["audit"]["findings"]
    assert (found["code"], found["rows"], found["lines"]) == ("likely_swapped", 1, [2])
    assert found["deep_audit"] == newest
    assert found["model"].startswith("base-")
    assert found["repair"] == {"step": "drop", "finding": "likely_swapped"}


AUDIT = {
    "verdict": "ready", "reasons": [], "findings": [], "length": None, "languages": [],
    "sampled": 6,
}  # fmt: skip


def test_rows_are_dropped_and_swapped_after_the_run_folder_is_gone(
    client: TestClient, work: Callable[[], None], file_id: str
) -> None:
    audit_id = audited(file_id, 1, 4)
    tried = client.post(f"/v1/files/{file_id}/versions/preview", json={"recipe": [DROP]})
    assert tried.raise_for_status().json()["steps"][0]["rows_after"] == 4
    (dropped,) = make(client, file_id, DROP).raise_for_status().json()["data"]
    (swapped,) = make(client, file_id, SWAP).raise_for_status().json()["data"]
    work()
    work()
    assert dropped["recipe"][0]["audits"] == {file_id: audit_id}
    kept = [(f"Yes {n}.", "No.") for n in range(6)]
    assert lines(client, dropped["id"]) == [kept[n] for n in (0, 2, 3, 5)]
    now = [pair[::-1] if n in (1, 4) else pair for n, pair in enumerate(kept)]
    assert lines(client, swapped["id"]) == now


def test_a_kept_recipe_gives_the_same_bytes_after_another_deep_audit(
    client: TestClient, work: Callable[[], None], file_id: str
) -> None:
    audited(file_id, 1, 4)
    (first,) = make(client, file_id, DROP).json()["data"]
    work()
    audited(file_id, 0)
    kept = show(client, first["id"])["recipe"]
    (again,) = make(client, file_id, *kept).raise_for_status().json()["data"]
    (newest,) = make(client, file_id, DROP).json()["data"]
    work()
    work()
    assert show(client, again["id"])["sha256"] == show(client, first["id"])["sha256"]
    assert show(client, newest["id"])["accepted"] == 5


def test_a_mix_takes_the_findings_of_each_file(
    client: TestClient, work: Callable[[], None], file_id: str
) -> None:
    other = post(client, jsonl(PAIRS[:3]), "others.jsonl").json()["id"]
    work()
    audited(file_id, 1)
    audited(other, 0, 2)
    mix = {"step": "mix", "files": [{"file_id": other}]}
    (made,) = make(client, file_id, mix, DROP).raise_for_status().json()["data"]
    work()
    assert [chosen for chosen, _ in lines(client, made["id"])] == [
        "Yes 0.", "Yes 2.", "Yes 3.", "Yes 4.", "Yes 5.", "Yes 1.",
    ]  # fmt: skip


def test_a_file_without_a_deep_audit_is_refused_with_a_sentence(
    client: TestClient, file_id: str
) -> None:
    page = client.get(f"/v1/files/{file_id}/rows", params={"finding": "unclear"})
    error = error_of(page, 409)
    assert (error["param"], error["code"]) == ("finding", "file_not_audited")
    assert f"oddsmith files deep-audit {file_id} --model" in error["message"]
    for answer in (
        make(client, file_id, SWAP),
        client.post(f"/v1/files/{file_id}/versions/preview", json={"recipe": [SWAP]}),
    ):
        assert error_of(answer, 409)["param"] == "recipe.0.finding"


def test_a_finding_that_the_audit_did_not_make_is_refused(client: TestClient, file_id: str) -> None:
    audited(file_id, 1)
    step = {"step": "drop", "finding": "unclear"}
    tried = client.post(f"/v1/files/{file_id}/versions/preview", json={"recipe": [step]})
    error = error_of(tried, 400)
    assert error["param"] == "recipe.0.finding"
    assert "names no row with the finding unclear" in error["message"]


@pytest.mark.parametrize("audits", ["of no file", "of a stranger", "of another file"])
def test_a_recipe_names_deep_audits_of_its_own_files(
    client: TestClient, file_id: str, audits: str
) -> None:
    audited(file_id, 1)
    with transaction() as session:
        owner = records.caller(session, "stranger") if audits == "of a stranger" else CALLER
        other = records.file(session, owner).id
        audit_id = records.deep_audit(session, owner, other).id
    known = "ftjob-0" if audits == "of no file" else audit_id
    error = error_of(make(client, file_id, DROP | {"audits": {file_id: known}}), 400)
    assert error["param"] == "recipe.0.audits"
    error = error_of(make(client, file_id, DROP | {"audits": {other: audit_id}}), 400)
    assert error["param"] == "recipe.0.audits"


@pytest.mark.parametrize(
    "step",
    [
        {"step": "swap"},
        SWAP | {"lines": [1]},
        {"step": "drop", "finding": "refusal", "audits": {"file-1": "ftjob-1"}},
        {"step": "swap", "lines": [1], "audits": {"file-1": "ftjob-1"}},
    ],
)
def test_a_step_that_fits_no_way_is_refused(
    client: TestClient, file_id: str, step: dict[str, Any]
) -> None:
    assert error_of(make(client, file_id, step), 400)["param"] == "recipe.0"


def test_deep_audits_go_with_their_file(client: TestClient, file_id: str) -> None:
    audit_id = audited(file_id, 1)
    assert client.delete(f"/v1/files/{file_id}").status_code == 200
    result = result_id(audit_id)
    assert client.get(f"/v1/files/{result}").status_code == 404
    removals.remove_all()
    with transaction() as session:
        assert session.get(Job, audit_id) is None
    with pytest.raises(FileNotFoundError):
        storage.reading(judged_key(audit_id))
    with pytest.raises(FileNotFoundError):
        storage.reading(f"results/{result}")


def test_an_audit_whose_result_was_deleted_finds_nothing(client: TestClient, file_id: str) -> None:
    audit_id = audited(file_id, 1)
    assert client.delete(f"/v1/files/{result_id(audit_id)}").status_code == 200
    removals.remove_all()
    page = client.get(f"/v1/files/{file_id}/rows", params={"finding": "likely_swapped"})
    assert page.status_code == 409
    pairs = client.get(f"/v1/files/{file_id}/deep_audits/{audit_id}/pairs")
    assert "was deleted" in error_of(pairs, 404)["message"]
