"""TrainJobs against the published schema, and the requests that the real client sends.

No cluster runs here: a small server holds what it is given, as the API of Kubernetes does.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainingRuntime, TrainerV1alpha1TrainJob
from kubernetes import client

from services.launchers.cluster import Phase, Request, Status, Unreachable
from services.launchers.kubernetes import Kubernetes, manifest, status_of

ROOT = Path(__file__).parents[2]
PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs"


def request(on_gpus: bool = True) -> Request:
    return Request("oddsmith-x-g1", Path("/runs/x/g1"), "train", 2, 4, on_gpus)


def without_none(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: without_none(value) for name, value in found.items() if value is not None}
    return [without_none(value) for value in found] if isinstance(found, list) else found


@pytest.mark.parametrize("on_gpus", [True, False])
def test_a_train_job_fits_the_published_schema(on_gpus: bool) -> None:
    """A field that the schema does not know would be lost on the way through it."""
    made = manifest(request(on_gpus))
    job = TrainerV1alpha1TrainJob.from_dict(made)
    assert job is not None
    assert without_none(job.to_dict()) == made
    assert made["spec"]["trainer"]["numNodes"] == 2
    limits = made["spec"]["trainer"]["resourcesPerNode"]["limits"]
    assert limits.get("nvidia.com/gpu") == ("4" if on_gpus else None)


def test_the_runtime_of_the_docs_fits_the_published_schema() -> None:
    made = yaml.safe_load((ROOT / "docker" / "kubernetes" / "runtime.yaml").read_text())
    runtime = TrainerV1alpha1TrainingRuntime.from_dict(made)
    assert runtime is not None
    assert without_none(runtime.to_dict()) == made


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, Status(Phase.WAITING)),
        ({"jobsStatus": [{"name": "node", "active": 0}]}, Status(Phase.WAITING)),
        ({"jobsStatus": [{"name": "node", "active": 1}]}, Status(Phase.RUNNING)),
        (
            {"conditions": [{"type": "Suspended", "status": "True"}]},
            Status(Phase.WAITING, "it is suspended until there is room."),
        ),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, Status(Phase.ENDED, code=0)),
        (
            {"conditions": [{"type": "Failed", "status": "True", "message": "A pod failed."}]},
            Status(Phase.ENDED, "A pod failed.", 1),
        ),
        ({"conditions": [{"type": "Failed", "status": "False"}]}, Status(Phase.WAITING)),
    ],
)
def test_conditions_are_read(status: dict[str, Any], expected: Status) -> None:
    assert status_of({"status": status}) == expected


class Server(BaseHTTPRequestHandler):
    """Holds TrainJobs by name."""

    held: dict[str, Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        if self.path != PATH:
            self._answer(404, {})
        elif name in self.held:
            self._answer(409, {"reason": "AlreadyExists"})
        else:
            self.held[name] = body
            self._answer(201, body)

    def do_GET(self) -> None:
        found = self.held.get(self.path.removeprefix(f"{PATH}/"))
        self._answer(200 if found else 404, found or {"reason": "NotFound"})

    def do_DELETE(self) -> None:
        found = self.held.pop(self.path.removeprefix(f"{PATH}/"), None)
        self._answer(200 if found else 404, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing."""


@pytest.fixture
def held(settings_from: Callable[..., None]) -> Iterator[tuple[Kubernetes, dict[str, Any]]]:
    settings_from(kubernetes_namespace="team")
    handler = type("Handler", (Server,), {"held": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configuration = client.Configuration()
        configuration.host = f"http://127.0.0.1:{server.server_address[1]}"
        api = client.CustomObjectsApi(client.ApiClient(configuration))
        yield Kubernetes(api), handler.held
        server.shutdown()


def test_a_train_job_is_made_once_followed_and_deleted(
    held: tuple[Kubernetes, dict[str, Any]],
) -> None:
    cluster, jobs = held
    assert cluster.look("oddsmith-x-g1") == Status(Phase.UNKNOWN)
    cluster.submit(request())
    cluster.submit(request())
    assert jobs == {"oddsmith-x-g1": manifest(request())}
    jobs["oddsmith-x-g1"]["status"] = {"jobsStatus": [{"name": "node", "active": 1}]}
    assert cluster.look("oddsmith-x-g1") == Status(Phase.RUNNING)
    cluster.stop("oddsmith-x-g1")
    cluster.stop("oddsmith-x-g1")
    assert jobs == {}


def test_a_cluster_that_is_away_is_unreachable() -> None:
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:9"
    configuration.retries = False
    cluster = Kubernetes(client.CustomObjectsApi(client.ApiClient(configuration)))
    with pytest.raises(Unreachable, match="can't be reached"):
        cluster.look("oddsmith-x-g1")
