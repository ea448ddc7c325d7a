"""Exports of files in other shapes and containers."""

import gzip
import json
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.api.made_versions import parent, quick
from tests.api.sent_files import error_of, post

__all__ = ["parent", "quick"]


@pytest.mark.parametrize(
    "shape", ["explicit", "openai", "implicit", "sharegpt", "ranked", "hh_rlhf"]
)
def test_an_export_that_is_uploaded_has_the_same_pairs(
    client: TestClient, work: Callable[[], None], parent: str, shape: str
) -> None:
    answer = client.get(f"/v1/files/{parent}/export", params={"shape": shape})
    assert f"pairs-{shape}.jsonl" in answer.headers["content-disposition"]
    again = post(client, answer.content, "again.jsonl").json()["id"]
    work()
    assert client.get(f"/v1/files/{again}/report").json()["shapes"] == {shape: 6}
    data = [client.get(f"/v1/files/{each}/rows").json()["data"] for each in (parent, again)]
    assert data[0] == data[1]


def test_containers_of_exports(client: TestClient, parent: str) -> None:
    path = f"/v1/files/{parent}/export"
    lines = gzip.decompress(client.get(path, params={"container": "jsonl.gz"}).content)
    assert json.loads(lines.splitlines()[0])["prompt"][0]["content"] == "Question 0?"
    assert client.get(path, params={"container": "parquet"}).content[:4] == b"PAR1"
    csv = {"container": "csv", "shape": "openai"}
    assert error_of(client.get(path, params=csv), 400)["param"] == "container"
    told = {"shape": "messages"}
    error = error_of(client.get(path, params=told), 400)
    assert (error["param"], "line 1" in error["message"]) == ("shape", True)
    for unknown in ("x", "thumbs"):
        error = error_of(client.get(path, params={"shape": unknown}), 400)
        assert error["message"].startswith("`shape` must be 'explicit', 'openai', ")
        assert error["param"] == "shape"
