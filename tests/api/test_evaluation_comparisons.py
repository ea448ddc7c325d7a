"""Several evaluations beside each other."""

from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from models.jobs import JobState
from services.evaluations.evaluations import LONGEST_PROMPT
from services.platform.database import transaction
from tests import records
from tests.api.sent_files import error_of
from tests.api.stored_evaluations import CALLER, PATH, score, stored

STRICT = [True, True, False, True]


def checked(session: Session, strict: list[bool], *, is_erased: bool = False, **fields: Any) -> str:
    """An evaluation with IFEval; each prompt has one instruction, followed or not."""
    share = sum(strict) / len(strict)
    found = stored(session, scores=[score("prompt_strict", share)], **fields)
    texts: dict[str, Any] = {"turns": []} if is_erased else {}
    for place, followed in enumerate(strict):
        result = {"strict": [followed], "loose": [followed]}
        records.item(session, found, place, result=result, category="maths", **texts)
    return found


def compare(client: TestClient, *ids: str) -> Any:
    return client.get(f"{PATH}/compare", params={"ids": ",".join(ids)})


def test_evaluations_are_compared_by_prompt(client: TestClient, product: None) -> None:
    with transaction() as session:
        first = checked(session, STRICT)
        better = checked(session, [True] * 4, orders=1)  # which matter to judges only
        longer = checked(session, [*STRICT, True, True])
    found = compare(client, first, better, longer).raise_for_status().json()
    assert found["suite"] == "ifeval"
    assert [each["id"] for each in found["evaluations"]] == [first, better, longer]
    (row,) = found["metrics"]
    assert (row["metric"], row["category"]) == ("prompt_strict", None)
    assert [cell["value"]["value"] for cell in row["cells"]] == [0.75, 1.0, 5 / 6]
    none, more, same = (cell["difference"] for cell in row["cells"])
    assert none is None
    assert (more["value"], more["n"]) == (0.25, 4)
    # Its two further prompts are no part of the difference.
    assert (same["value"], same["low"], same["high"], same["n"]) == (0.0, 0.0, 0.0, 4)
    (note,) = found["notes"]
    assert (note["evaluation"], "4 prompts" in note["message"]) == (longer, True)


def test_prompts_that_were_erased_are_not_compared(client: TestClient, product: None) -> None:
    with transaction() as session:
        ids = [checked(session, STRICT, is_erased=True) for _ in range(2)]
    found = compare(client, *ids).json()
    assert [cell["value"]["value"] for cell in found["metrics"][0]["cells"]] == [0.75] * 2
    assert [cell["difference"] for cell in found["metrics"][0]["cells"]] == [None, None]
    assert "erased with their file" in found["notes"][0]["message"]


def test_prompts_that_differ_are_not_compared(client: TestClient, product: None) -> None:
    with transaction() as session:
        first = checked(session, STRICT)
        other = stored(session, scores=[score("prompt_strict", 1.0)])
        # The same prompt, checked against something else.
        records.item(session, other, 0, result={"strict": [True]}, reference={"kwargs": [1]})
    found = compare(client, first, other).json()
    assert [cell["difference"] for cell in found["metrics"][0]["cells"]] == [None, None]
    assert "no prompt" in found["notes"][0]["message"]


def test_win_rates_over_other_baselines_or_judges_are_not_compared(
    client: TestClient, product: None
) -> None:
    with transaction() as session:
        judges = [records.judge(session, CALLER).id for _ in range(2)]

        def judged(judge: str, baseline: str, weights: str) -> str:
            found = stored(
                session, suite="custom", judge_id=judge, scores=[score("win_rate", 0.5)],
                baseline={"model": baseline, "weights_sha256": weights},
            )  # fmt: skip
            for place in range(3):
                records.item(session, found, place, result={"win_rate": 1.0})
            return found

        first = judged(judges[0], "base", "ab")
        renamed = judged(judges[0], "other-name", "ab")
        others = [judged(judges[0], "base", "cd"), judged(judges[1], "base", "ab")]
    found = compare(client, first, renamed, *others).json()
    differences = [cell["difference"] for cell in found["metrics"][0]["cells"]]
    assert differences[1]["value"] == 0.0
    assert differences[2:] == [None, None]
    messages = {note["evaluation"]: note["message"] for note in found["notes"]}
    assert "its baseline is another model" in messages[others[0]]
    assert "it was judged by another judge" in messages[others[1]]


def test_a_comparison_with_long_prompts_is_cut(client: TestClient, product: None) -> None:
    options = {"judge_prompt": "\U0001d54f" * LONGEST_PROMPT}
    with transaction() as session:
        ids = [checked(session, STRICT, options=options) for _ in range(6)]
    answer = compare(client, *ids)
    assert len(answer.content) < 2 * 10**6
    assert answer.json()["cut"] is True
    assert len(answer.json()["metrics"][0]["cells"]) == 6


def test_what_can_not_be_compared_is_refused(client: TestClient, product: None) -> None:
    with transaction() as session:
        first, other = stored(session), stored(session, suite="custom")
        running = stored(session, JobState.RUNNING)
    for ids, status in (
        ([first], 400), ([first, first], 400), ([""], 400), ([first, other], 400),
        ([first, "eval-none"], 404), ([first, running], 409),
        ([f"eval-{n}" for n in range(11)], 400),
    ):  # fmt: skip
        assert error_of(compare(client, *ids), status)["param"] == "ids"
    assert error_of(client.get(f"{PATH}/compare"), 400)["param"] == "ids"


def sampled(session: Session, alike: list[float], embedder: str = "0", samples: int = 5) -> str:
    """An evaluation of the suite `diversity`, with the similarity of each prompt's samples."""
    mean = sum(alike) / len(alike)
    details = {"diversity": {"embedder": "e", "embedder_sha256": embedder}}
    found = stored(
        session, suite="diversity", options={"samples": samples}, details=details,
        scores=[score("per_input", mean), score("across_input", 0.2)],
    )  # fmt: skip
    for place, value in enumerate(alike):
        records.item(session, found, place, result={"per_input": value, "to_others": 0.2})
    return found


def test_similarities_are_compared_where_one_embedder_has_made_the_vectors(
    client: TestClient, product: None
) -> None:
    with transaction() as session:
        first = sampled(session, [0.5, 0.7])
        other = sampled(session, [0.75, 0.95], samples=9)
        elsewhere = sampled(session, [0.5, 0.7], embedder="1")
    found = compare(client, first, other, elsewhere).raise_for_status().json()
    within, across = found["metrics"]
    assert (within["metric"], across["metric"]) == ("per_input", "across_input")
    none, less_diverse, unlike = (cell["difference"] for cell in within["cells"])
    assert (none, unlike) == (None, None)
    assert less_diverse["value"] == 0.25
    # An interval over each prompt's similarity to the others would be too narrow.
    assert [cell["difference"] for cell in across["cells"]] == [None] * 3
    notes = [(note["evaluation"], note["message"]) for note in found["notes"]]
    assert any(of == other and "across_input: it is measured over all" in why for of, why in notes)
    assert any(of == elsewhere and "vectors by another model" in why for of, why in notes)
