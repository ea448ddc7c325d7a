"""A deep audit through the real stack: its progress, its findings, and versions made of them."""

import json
import random
from pathlib import Path

import pytest

from tests.e2e.wait import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

WORDS = ["river", "stone", "apple", "cloud", "paper", "chair", "window", "garden", "music", "table"]
SWAPPED = [6, 18, 29]  # lines


def answers(line: int) -> tuple[str, str]:
    """The good answer of a line and the bad one; none of the words says which is which."""
    some = " ".join(random.Random(line).sample(WORDS, 4))
    return f"Certainly: {some}.", f"No idea about {some}!"


def stored(line: int) -> tuple[str, str]:
    """The chosen and the rejected answer of a line in the file."""
    good, bad = answers(line)
    return (bad, good) if line in SWAPPED else (good, bad)


@pytest.fixture
def file_id(upload, tmp_path: Path) -> str:
    """Forty pairs, three of which are the wrong way round."""
    path = tmp_path / "pairs.jsonl"
    with path.open("w") as file:
        for line in range(1, 41):
            chosen, rejected = stored(line)
            row = {"prompt": f"Say number {line}.", "chosen": chosen, "rejected": rejected}
            file.write(json.dumps(row) + "\n")
    return upload(path)


def audited(stack, file_id: str, model: str) -> tuple[dict, list[dict]]:
    """A deep audit that has succeeded, and the progress that was seen on the way."""
    seen = []
    with stack.http() as http:
        audits = f"/v1/files/{file_id}/deep_audits"
        audit_id = http.post(audits, json={"model": model}).raise_for_status().json()["id"]

        def look() -> dict | None:
            audit = http.get(f"{audits}/{audit_id}").json()
            assert audit["status"] not in ("failed", "cancelled"), (audit["error"], stack.logs())
            if (audit["progress"] or {}).get("steps"):
                seen.append(audit["progress"])
            return audit if audit["status"] == "succeeded" else None

        return wait_for(look, 300, stack.logs, interval_s=0.1), seen


def pairs_of(stack, file_id: str) -> list[tuple[str, str]]:
    """The answers of a version's rows, in order."""
    with stack.http() as http:
        rows = http.get(f"/v1/files/{file_id}/rows", params={"limit": 100}).json()["data"]
    return [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]


def made(stack, file_id: str, *options: str) -> list[tuple[str, str]]:
    """The answers of the version that `oddsmith files make` makes."""
    done = stack.oddsmith("files", "make", file_id, *options, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    (version,) = json.loads(done.stdout)
    return pairs_of(stack, version["id"])


def test_planted_swaps_are_found_then_dropped_or_swapped(stack, tiny: str, file_id: str) -> None:
    audit, seen = audited(stack, file_id, tiny)
    # The base, two adapters of 5 steps and one measurement each, and 5 regressions.
    assert {progress["steps"] for progress in seen} == {18}
    assert audit["progress"]["step"] == 18
    assert audit["result"]["pairs"] == 40
    assert audit["result"]["lines"]["likely_swapped"] == SWAPPED
    # All that is left is in the storage.
    assert not (stack.var / "runs" / audit["id"]).exists()
    shown = stack.oddsmith("files", "rows", file_id, "--finding", "likely_swapped", "--json")
    assert [row["line"] for row in json.loads(shown.stdout)["data"]] == SWAPPED
    report = stack.oddsmith("files", "report", file_id, "--json")
    findings = json.loads(report.stdout)["audit"]["findings"]
    (found,) = [each for each in findings if each["code"] == "likely_swapped"]
    assert (found["rows"], found["model"], found["deep_audit"]) == (3, tiny, audit["id"])
    kept = [answers(line) for line in range(1, 41) if line not in SWAPPED]
    assert made(stack, file_id, "--drop", "likely_swapped") == kept
    assert made(stack, file_id, "--swap", "likely_swapped") == [
        answers(line) for line in range(1, 41)
    ]
