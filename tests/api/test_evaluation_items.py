"""The items of an evaluation."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from models import Answer, EvaluationItem, Judgment
from models.jobs import JobState
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.api.sent_files import error_of
from tests.api.stored_evaluations import CALLER, PATH, stored


def answered(session: Session, *texts: str) -> None:
    for text in texts:
        session.add(Answer(org_id=seed.ORG_ID, key=text, text=text.upper(), finish_reason="stop"))
        session.add(
            Judgment(org_id=seed.ORG_ID, key=f"judged-{text}", text=f"of {text}", value=1.0)
        )


@pytest.fixture
def items(product: None) -> str:
    """The items of an evaluation: changes 0.5, -1, 0, none, and -1 again."""
    with transaction() as session:
        judge = records.judge(session, CALLER).id
        evaluation = stored(session, suite="custom", judge_id=judge)
        answered(session, "a", "b")
        # Another organisation's answer with the same key.
        theirs = records.caller(session).org_id
        session.add(Answer(org_id=theirs, key="a", text="theirs", finish_reason="stop"))
        for place, change in enumerate((0.5, -1.0, 0.0, None, -1.0)):
            records.item(
                session, evaluation, place, change=change, cut_off=place == 3,
                category="maths" if place % 2 else None, answers=["a"], baseline_answers=["b"],
                judgments=["judged-a", "judged-b"], result={"outcome": change},
            )  # fmt: skip
        return f"{PATH}/{evaluation}/items"


def test_items_that_got_worse_come_first(client: TestClient, items: str) -> None:
    found = client.get(items).json()
    assert [item["place"] for item in found["data"]] == [1, 4, 2, 0, 3]
    (first, *_) = found["data"]
    assert first["turns"] == [[{"role": "user", "content": "Prompt 1?"}]]
    assert (first["line"], first["category"], first["change"]) == (2, "maths", -1.0)
    answer = {"text": "A", "thought": None, "finish_reason": "stop", "completion_tokens": None}
    assert first["answers"] == [answer]
    assert first["baseline_answers"] == [answer | {"text": "B"}]
    judged = [(each["text"], each["order"], each["turn"]) for each in first["judgments"]]
    assert judged == [("of a", "model_first", 0), ("of b", "baseline_first", 0)]
    # Page by page they are the same, whatever the page's length.
    for limit in (1, 2, 3):
        places, after = [], None
        while True:
            page = client.get(items, params={"limit": limit} | ({"after": after} if after else {}))
            places += [item["place"] for item in page.json()["data"]]
            after = page.json()["last_id"]
            if not page.json()["has_more"]:
                break
        assert places == [1, 4, 2, 0, 3]


def test_judgments_are_shown_after_the_prompts_were_erased(client: TestClient, items: str) -> None:
    before = client.get(items).json()["data"][0]["judgments"]
    with transaction() as session:
        session.execute(update(EvaluationItem).values(turns=[], reference={}))
    found = client.get(items).json()["data"][0]
    assert (found["turns"], found["judgments"]) == ([], before)


FILTERED: list[tuple[dict[str, str], list[int]]] = [
    ({"filter": "regressed"}, [1, 4]),
    ({"filter": "improved"}, [0]),
    ({"filter": "tied"}, [2]),
    ({"filter": "cut_off"}, [3]),
    ({"category": "maths"}, [1, 3]),
    ({"category": "maths", "filter": "regressed"}, [1]),
    ({"category": "none"}, []),
]


def test_items_are_filtered(client: TestClient, items: str) -> None:
    for query, places in FILTERED:
        found = client.get(items, params=query).json()["data"]
        assert [item["place"] for item in found] == places, query


def test_a_filter_or_place_that_is_not_known_is_refused(client: TestClient, items: str) -> None:
    for query in ({"filter": "best"}, {"after": "99"}, {"after": "x"}, {"after": "²"}):
        assert error_of(client.get(items, params=query), 400)["param"] == next(iter(query))


def test_items_before_they_are_answered_are_shown(client: TestClient, product: None) -> None:
    with transaction() as session:
        evaluation = stored(session, JobState.RUNNING, suite="mt_bench")
        records.item(session, evaluation, 0, answers=["gone"], failures={"model": "Refused."})
    (item,) = client.get(f"{PATH}/{evaluation}/items").json()["data"]
    assert (item["answers"], item["judgments"], item["result"]) == ([None], [], None)
    assert item["failures"] == {"model": "Refused."}
