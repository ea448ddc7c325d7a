"""How far a file is while it is made and validated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.files import progress, versions
from tests.api.made_versions import DROP, in_this_process, make, parent, quick, show
from workers import files as file_tasks

__all__ = ["parent", "quick"]


def test_a_file_says_how_far_it_is_while_it_is_made_and_validated(
    client: TestClient, work: Callable[[], None], parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    made = make(client, parent, DROP).json()["data"][0]["id"]

    def verb(verb: str, *arguments: str, meanwhile: Callable[[], None], **more: Any) -> Any:
        ends = ("/progress.json", "/progress")
        path = next(Path(each) for each in arguments if each.endswith(ends))
        for text in ('{"stage": "x"}', json.dumps(FAR)):
            path.write_text(text)
            meanwhile()
            seen.append(show(client, made)["progress"])
        return in_this_process(verb, *arguments, **more)

    for module in (versions, file_tasks):
        monkeypatch.setattr(
            module, "run_verb", lambda name, *rest, **more: (
                in_this_process if name == "audit" else verb)(name, *rest, **more),
        )  # fmt: skip
    assert show(client, made)["progress"] is None
    work()
    # Once it is made, its validation says how far it is.
    assert seen == [None, FAR, None, FAR]
    done = show(client, made)
    assert (done["status"], done["progress"]) == ("processed", None)
    report = client.get(f"/v1/files/{made}/report").json()
    counted = {"step": "drop_rows", "rows_before": 6, "rows_after": 4, "rows_changed": 0}
    assert (report["accepted"], report["steps"]) == (4, [counted])


FAR = {"stage": "make", "done": 3, "total": 6, "unit": "rows", "step": 1, "steps": 2,
       "name": "drop_rows"}  # fmt: skip
NO_PROGRESS = [
    "", "[", "[1]", "{}", '{"stage": "make"}', '{"stage": "make", "done": -1, "unit": "rows"}',
    '{"stage": "make", "done": true, "unit": "rows"}', '{"stage": "make", "done": 1, "unit": "x"}',
    '{"stage": "make", "done": 1, "unit": "rows", "name": ["x"]}', "[" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_PROGRESS)
def test_progress_that_a_process_has_garbled_is_no_progress(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress"
    assert progress.read(path) is None
    path.write_text(text)
    assert progress.read(path) is None
    good = tmp_path / "good"
    good.write_text(json.dumps(FAR))
    assert progress.read(good) == FAR
    (tmp_path / "link").symlink_to(good)
    assert progress.read(tmp_path / "link") is None
