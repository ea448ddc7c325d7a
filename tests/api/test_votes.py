"""Votes by REST: cast, taken back, listed, ranked, and made into a file of pairs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func

from models import Comparison
from models.base import new_id
from orpo.contract.rundir import HELD_OUT_ROWS
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from services.runs import checkpoints, prepared
from tests import records
from tests.api.sent_files import error_of
from tests.services import evaluated

OWNER = Caller(seed.ORG_ID, None, records.SCOPES)
VOTERS = ("key-first", "key-second")
BASE, TUNED = "acme/base", "ft:acme--base:default::1"


def compared(
    prompt: str = "Why?",
    texts: tuple[str, ...] = ("Because.", "No."),
    *,
    models: tuple[str, ...] = (TUNED, BASE),
    asks: tuple[str, ...] | None = None,
    finish: str = "stop",
    owner: Caller = OWNER,
) -> str:
    """A comparison that has ended, as the process that streams the answers writes it."""
    sides = [
        {
            "side": at, "model": model, "base_model": BASE, "deployment_id": "d", "adapter": False,
            "checkpoint_step": 7 if model != BASE else None, "weights_sha256": f"sha of {model}",
            "device": "cpu", "text": said, "finish_reason": finish,
            "asked": {"messages": [{"role": "user", "content": asked}], "temperature": 0.5},
        }
        for at, (model, said, asked) in enumerate(
            zip(models, texts, asks or (prompt, prompt), strict=True)
        )
    ]  # fmt: skip
    with transaction() as session:
        made = Comparison(
            id=new_id("cmp"), org_id=owner.org_id, sides=sides, ended_at=func.clock_timestamp()
        )
        session.add(made)
        session.flush()
        return made.id


def vote(client: TestClient, comparison_id: str, choice: str = "a", **more: Any) -> Any:
    body = {"choice": choice, **more}
    return client.post(f"/v1/comparisons/{comparison_id}/vote", json=body)


def voted(
    client: TestClient, choice: str = "a", *, said: dict[str, Any] | None = None, **of: Any
) -> str:
    comparison_id = compared(**of)
    vote(client, comparison_id, choice, **(said or {})).raise_for_status()
    return comparison_id


def preview(client: TestClient, **wanted: Any) -> dict[str, Any]:
    answer = client.post("/v1/votes/preview", json={"filter": wanted})
    return answer.raise_for_status().json()


def counts(client: TestClient, **wanted: Any) -> dict[str, int]:
    """The counts of a preview that are not 0."""
    return {name: n for name, n in preview(client, **wanted)["counts"].items() if n}


def rows_of(client: TestClient, file: dict[str, Any]) -> list[dict[str, Any]]:
    content = client.get(f"/v1/files/{file['id']}/content").raise_for_status().content
    return [orjson.loads(line) for line in content.splitlines()]


def test_a_vote_has_a_reason_a_note_and_an_edit_and_can_be_taken_back(client: TestClient) -> None:
    comparison_id = compared()
    edit = {"side": 0, "text": "Because it rains."}
    said = {"reason": "clear", "note": "The other one says nothing.", "edit": edit}
    stored = vote(client, comparison_id, "a", **said).raise_for_status().json()
    assert {name: stored[name] for name in ("choice", *said)} == {"choice": "a", **said}
    assert stored["voted_by"] == client.get("/v1/api_keys").json()["data"][0]["id"]
    again = vote(client, comparison_id, "b").raise_for_status().json()
    assert (again["choice"], again["reason"], again["edit"]) == ("b", None, None)
    path = f"/v1/comparisons/{comparison_id}/vote"
    for _ in range(2):
        undone = client.delete(path).raise_for_status().json()
        assert (undone["choice"], undone["voted_at"], undone["voted_by"]) == (None, None, None)
    assert client.get("/v1/votes").json()["data"] == []
    entries = client.get("/v1/audit_log", params={"object_id": comparison_id}).json()["data"]
    assert [entry["action"] for entry in entries] == ["undone", "voted", "voted"]


@pytest.mark.parametrize(
    ("said", "status", "param"),
    [
        ({"choice": "c"}, 400, "choice"),
        ({"choice": "a", "reason": "because"}, 400, "reason"),
        ({"choice": "a", "note": "n" * 2_001}, 400, "note"),
        ({"choice": "a", "edit": {"side": 2, "text": "x"}}, 400, "edit.side"),
        ({"choice": "a", "edit": {"side": 1, "text": "x"}}, 400, "edit.side"),
        ({"choice": "a", "edit": {"side": 0, "text": " \n"}}, 400, "edit.text"),
        ({"choice": "a", "edit": {"side": 0, "text": "Because."}}, 400, "edit.text"),
    ],
)
def test_a_vote_that_makes_no_sense_names_its_field(
    client: TestClient, said: dict[str, Any], status: int, param: str
) -> None:
    answer = client.post(f"/v1/comparisons/{compared()}/vote", json=said)
    assert error_of(answer, status)["param"] == param


def test_votes_are_listed_by_model_and_choice(client: TestClient) -> None:
    mine = voted(client)
    other = voted(client, "tie", models=(BASE, "acme/other"), said={"reason": "style"})
    compared()  # without a vote
    with transaction() as session:
        stranger = records.caller(session, "stranger")
    compared(owner=stranger)

    def ids(**params: str) -> list[str]:
        found = client.get("/v1/votes", params=params).raise_for_status().json()
        return [each["id"] for each in found["data"]]

    assert ids() == [other, mine]
    assert ids(model=TUNED) == [mine]
    assert ids(model=BASE) == [other, mine]
    assert ids(model=BASE, against="acme/other") == [other]
    assert ids(choice="tie") == [other]
    assert ids(reason="style") == [other]
    assert error_of(client.get("/v1/votes", params={"choice": "c"}), 400)["param"] == "choice"


def test_each_vote_becomes_a_pair_or_says_why_not(client: TestClient) -> None:
    voted(client, prompt="one")
    voted(client, "b", prompt="two")
    voted(client, "tie", prompt="three")
    voted(client, "both_bad", prompt="four")
    voted(client, prompt="five", texts=("Same.", "Same. "))
    voted(client, asks=("six", "seven"))
    voted(client, prompt="eight", finish="length")
    assert counts(client) == {
        "votes": 7, "pairs": 2, "ties": 1, "both_bad": 1, "not_a_pair": 2, "cut_off": 1,
    }  # fmt: skip
    assert counts(client, choice="b") == {"votes": 1, "pairs": 1}
    assert counts(client, model="acme/other") == {}


def test_contradicting_votes_are_left_out_and_shown_and_repeated_ones_count_once(
    client: TestClient,
) -> None:
    first = voted(client, prompt="one")
    # The same answers, shown in the other order.
    second = voted(client, prompt="one", texts=("No.", "Because."), models=(BASE, TUNED))
    for _ in range(3):
        voted(client, prompt="two")
    found = preview(client)
    assert found["contradicted"] == [[second, first]]
    assert counts(client) == {"votes": 5, "pairs": 1, "contradictions": 2, "repeated": 2}


def test_an_edit_becomes_the_chosen_answer_and_its_source_is_kept(
    client: TestClient, work: Callable[[], None]
) -> None:
    voted(client, prompt="one", said={"edit": {"side": 0, "text": "Because it rains."}})
    edit = {"side": 1, "text": "Yes."}
    voted(
        client, "both_bad", prompt="two", said={"edit": edit, "note": "wrong", "reason": "correct"}
    )
    assert counts(client) == {"votes": 2, "pairs": 2, "edited": 2}
    file = client.post("/v1/votes/files", json={}).raise_for_status().json()
    one, two = rows_of(client, file)
    assert one["chosen"][0]["content"] == "Because it rains."
    assert (one["rejected"][0]["content"], one["rejected_model"]) == ("No.", BASE)
    assert one["metadata"]["edited_from"] == "Because."
    # Of two bad answers, the edited one is better than what it was made of.
    assert [two[side][0]["content"] for side in ("chosen", "rejected")] == ["Yes.", "No."]
    assert (two["chosen_model"], two["rejected_model"]) == (BASE, BASE)
    assert (two["metadata"]["note"], two["metadata"]["reason"]) == ("wrong", "correct")
    work()
    assert client.get(f"/v1/files/{file['id']}").json()["accepted"] == 2


def test_a_file_of_votes_says_what_it_is_of_and_can_be_trained_on(
    client: TestClient, work: Callable[[], None]
) -> None:
    ids = [voted(client, "ab"[n % 2], prompt=f"Question {n}?") for n in range(4)]
    voted(client, "tie")
    body = {"filter": {"model": TUNED, "against": BASE}, "filename": "from votes"}
    file = client.post("/v1/votes/files", json=body).raise_for_status().json()
    assert (file["filename"], file["purpose"]) == ("from votes.jsonl", "fine-tune")
    assert file["made_from"]["votes"] == {"model": TUNED, "against": BASE}
    made = file["made_from"]["counts"]
    assert (made["votes"], made["pairs"], made["ties"]) == (5, 4, 1)
    rows = rows_of(client, file)
    assert [row["metadata"]["comparison"] for row in rows] == ids
    assert [row["chosen_model"] for row in rows] == [TUNED, BASE, TUNED, BASE]
    origin = rows[0]["metadata"]
    assert origin["chosen"] == {
        "model": TUNED, "checkpoint_step": 7, "weights_sha256": f"sha of {TUNED}",
        "sampling": {"temperature": 0.5},
    }  # fmt: skip
    assert [row["metadata"]["shown_first"] for row in rows[:2]] == ["chosen", "rejected"]
    work()
    report = client.get(f"/v1/files/{file['id']}/report").json()
    assert (report["accepted"], report["remarks"]) == (4, []), "no key of a row is unknown"
    assert client.get(f"/v1/files/{file['id']}").json()["made_from"] == file["made_from"]
    # The same votes give the same bytes, which are stored once.
    twin = client.post("/v1/votes/files", json=body).raise_for_status().json()
    assert twin["sha256"] == file["sha256"]
    assert twin["id"] != file["id"]


def test_held_out_prompts_of_the_runs_involved_are_left_out(client: TestClient) -> None:
    with transaction() as session:
        model = evaluated.reward_model(session, OWNER)
        job_id = checkpoints.resolve(session, OWNER, model)[1].id
    kept = {"line": 1, "prompt": [{"role": "user", "content": " Held out? "}], "chosen": []}
    path: Path = prepared.folder(job_id) / HELD_OUT_ROWS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept) + "\n")
    for models in ((model, BASE), (BASE, model)):
        voted(client, prompt="Held out?", texts=("x", f"y {models[0]}"), models=models)
    voted(client, prompt="Held out?", models=(BASE, "acme/other"))
    voted(client, prompt="Another?", models=(model, BASE))
    assert counts(client) == {"votes": 4, "pairs": 2, "held_out": 2}


def test_no_file_is_made_where_no_vote_becomes_a_pair(client: TestClient) -> None:
    voted(client, "tie")
    refused = client.post("/v1/votes/files", json={})
    assert error_of(refused, 409)["code"] == "no_pairs"
    assert client.get("/v1/files").json()["data"] == []


def test_models_are_ranked_with_intervals(client: TestClient) -> None:
    for n in range(24):
        models = (TUNED, BASE) if n % 2 else (BASE, TUNED)
        wins = n % 8 not in {0, 1}
        voted(client, "a" if wins == (models[0] == TUNED) else "b", prompt=f"{n}", models=models)
    voted(client, prompt="x", asks=("p", "q"))
    voted(client, "both_bad", prompt="y", models=("acme/c", "acme/d"))
    found = client.get("/v1/votes/ranking").raise_for_status().json()
    assert (found["votes"], found["counted"]) == (26, 25)
    first, second, *others = found["models"]
    assert (first["model"], first["wins"], first["losses"]) == (TUNED, 18, 6)
    assert first["strength"]["value"] == pytest.approx(-second["strength"]["value"])
    assert first["against_average"]["low"] > 0.5
    assert not first["early"]
    assert [each["early"] for each in others] == [True, True]
    assert {each["group"] for each in others} == {1}, "no vote connects them with the others"
    pair = found["pairs"][0]
    assert (pair["model"], pair["other"], pair["win_rate"]["value"]) == (TUNED, BASE, 0.75)
    assert pair["win_rate"]["low"] < 0.75 < pair["win_rate"]["high"]
    side = found["side"]
    assert side["low"] < 0.5 < side["high"]
    one = client.get("/v1/votes/ranking", params={"model": "acme/c"}).json()
    assert [each["model"] for each in one["models"]] == ["acme/c", "acme/d"]
    assert one["side"] is None


def test_two_voters_agree_or_do_not(client: TestClient) -> None:
    said = [("a", "a"), ("a", "a"), ("tie", "both_bad"), ("a", "b")]
    for n, choices in enumerate(said):
        for voter, choice in enumerate(choices):
            # The second voter sees the two answers in the other order.
            texts, models = ("x", "y"), (TUNED, BASE)
            of = compared(
                f"{n}",
                texts[::-1] if voter else texts,
                models=models[::-1] if voter else models,
            )
            mirrored = {"a": "b", "b": "a"}.get(choice, choice)
            vote(client, of, mirrored if voter else choice).raise_for_status()
            with transaction() as session:
                session.get_one(Comparison, of).voted_by = VOTERS[voter]
    found = client.get("/v1/votes/ranking").json()["agreement"]
    assert (found["value"], found["n"]) == (0.75, 4)
    assert found["low"] < 0.75 < found["high"]


def test_without_votes_there_is_an_empty_ranking(client: TestClient) -> None:
    found = client.get("/v1/votes/ranking").raise_for_status().json()
    assert (found["votes"], found["models"], found["pairs"], found["side"]) == (0, [], [], None)
    assert found["agreement"] is None


def test_votes_of_others_become_no_file(client: TestClient) -> None:
    with transaction() as session:
        stranger = records.caller(session, "stranger")
    comparison_id = compared(owner=stranger)
    assert error_of(vote(client, comparison_id), 404)["param"] == "comparison_id"
    assert client.delete(f"/v1/comparisons/{comparison_id}/vote").status_code == 404
    assert counts(client) == {}
