"""`oddsmith models` against a fake API."""

import json
from pathlib import Path

from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import TUNED, FakeApi, Stream, error, listed

MODEL = {"id": "org/base", "kind": "base", "status": "ready", "deployed": False, "error": None}
DEPLOYMENT = {"id": "dep-1", "model": TUNED, "status": "starting", "parity": None, "error": None}


def test_a_folder_is_registered_by_its_absolute_path(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    api.on("POST /v1/models", MODEL)
    api.on("GET /v1/models/org/base", MODEL)
    assert oddsmith("models", "add", str(tmp_path)).stdout == "org/base is registered.\n"
    assert api.sent("POST", "/v1/models")[0].json == {"path": str(tmp_path)}


def test_what_is_unusual_about_a_folder_is_printed(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    unusual = {**MODEL, "info": {"remarks": ["An adapter lies beside the weights."]}}
    api.on("POST /v1/models", unusual)
    api.on("GET /v1/models/org/base", unusual)
    said = oddsmith("models", "add", str(tmp_path)).stdout
    assert said == "org/base is registered. An adapter lies beside the weights.\n"


def test_a_hub_id_is_awaited_and_its_failure_printed(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/models", {**MODEL, "status": "downloading"})
    api.on("GET /v1/models/org/base", {**MODEL, "status": "error", "error": "No safetensors."})
    result = oddsmith("models", "add", "org/base", "--revision", "v1")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: org/base can't be used: No safetensors.\n",
    )
    sent = {"id": "org/base", "hub_id": "org/base", "revision": "v1"}
    assert api.sent("POST", "/v1/models")[0].json == sent


def test_a_tuned_model_is_copied_into_a_base(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/models", {**MODEL, "status": "merging"})
    api.on("GET /v1/models/org/base", MODEL)
    said = oddsmith("models", "add", TUNED, "--name", "org/base").stdout
    assert said == "org/base is registered.\n"
    assert api.sent("POST", "/v1/models")[0].json == {"id": "org/base", "from": TUNED}


def test_list_and_show(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/models", listed(MODEL, {**MODEL, "id": TUNED, "deployed": True}))
    api.on("GET /v1/models/org/base", MODEL)
    assert TUNED in oddsmith("models", "list").stdout
    assert json.loads(oddsmith("models", "show", "org/base", "--json").stdout) == MODEL


def test_a_download_is_whole_or_absent(api: FakeApi, oddsmith: Oddsmith, tmp_path: Path) -> None:
    out = tmp_path / "tuned.tar"
    path = f"GET /v1/models/{TUNED}/download"
    api.on(path, Stream(iter([b"half"]), cut=True))
    assert oddsmith("models", "download", TUNED, str(out)).exit_code == 3
    assert list(tmp_path.glob("tuned*")) == []
    api.on(path, b"whole")
    found = oddsmith("models", "download", TUNED, str(out), "--merged", "--json").stdout
    assert json.loads(found) == {"path": str(out), "size_bytes": 5}
    assert out.read_bytes() == b"whole"
    assert api.requests[-1].query == {"format": "merged"}
    assert oddsmith("models", "download", TUNED, str(out), "--gguf").exit_code == 0
    assert api.requests[-1].query == {"format": "gguf"}
    both = oddsmith("models", "download", TUNED, str(out), "--gguf", "--merged")
    assert (both.exit_code, both.stderr) == (2, "error: Choose one of --merged and --gguf.\n")


def test_deploy_waits_until_it_answers(api: FakeApi, oddsmith: Oddsmith) -> None:
    statuses = iter(["starting", "ready"])
    api.on("POST /v1/deployments", {**DEPLOYMENT, "status": "pending"})
    api.on("GET /v1/deployments/dep-1", lambda _: {**DEPLOYMENT, "status": next(statuses)})
    result = oddsmith("models", "deploy", TUNED, "--wait", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "ready")


def test_a_deployment_that_fails_says_why(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/deployments", DEPLOYMENT)
    failed = {**DEPLOYMENT, "status": "failed", **error("The engine ran out of memory.", None)}
    api.on("GET /v1/deployments/dep-1", failed)
    result = oddsmith("models", "deploy", TUNED, "--wait")
    assert result.exit_code == 1
    assert result.stderr == f"error: {TUNED} is failed: The engine ran out of memory.\n"


def test_undeploy_finds_the_live_deployment(api: FakeApi, oddsmith: Oddsmith) -> None:
    stopped = {**DEPLOYMENT, "id": "dep-0", "status": "stopped"}
    api.on("GET /v1/deployments", listed(stopped, DEPLOYMENT))
    api.on("DELETE /v1/deployments/dep-1", DEPLOYMENT)
    assert oddsmith("models", "undeploy", TUNED).exit_code == 0
    assert oddsmith("models", "undeploy", "org/base").exit_code == 4
