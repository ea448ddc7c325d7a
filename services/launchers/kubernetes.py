"""Runs on Kubernetes, as TrainJobs of Kubeflow Trainer 2 (trainer.kubeflow.org/v1alpha1).

The cluster's own TrainingRuntime says which image runs and where the shared folders are mounted
(docker/kubernetes/runtime.yaml is one); a TrainJob adds the size and the command. This was checked
against the published schema and a server that speaks the API, not on a cluster
(docs/decisions/0032-launchers.md). Needs the package `kubernetes`.
"""

from http import HTTPStatus
from typing import Any

from services.launchers.cluster import Phase, Request, Status, Unreachable
from services.platform.settings import get_settings

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
TIMEOUT_S = 5.0  # short: the worker that waits holds a lease
GPU = "nvidia.com/gpu"


class Kubernetes:
    """The cluster of this pod's service account, or of the file that KUBECONFIG names."""

    title = "Kubernetes"

    def __init__(self, api: Any = None) -> None:
        self._namespace = get_settings().kubernetes_namespace
        self._api = api

    def submit(self, request: Request) -> None:
        self._ask("create_namespaced_custom_object", body=manifest(request))

    def look(self, name: str) -> Status:
        found = self._ask("get_namespaced_custom_object", name=name)
        return Status(Phase.UNKNOWN) if found is None else status_of(found)

    def stop(self, name: str) -> None:
        self._ask("delete_namespaced_custom_object", name=name)

    def _ask(self, call: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer; None if the object is not there, or there already."""
        from kubernetes.client import ApiException  # noqa: PLC0415 - an extra
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with it

        self._api = self._api or _connect()
        where = {"group": GROUP, "version": VERSION, "plural": PLURAL}
        where["namespace"] = self._namespace
        try:
            return getattr(self._api, call)(**where, **arguments, _request_timeout=TIMEOUT_S)
        except ApiException as refusal:
            if refusal.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return None
            raise Unreachable(
                f"Waits for Kubernetes, which refuses: {refusal.status} {refusal.reason}."
            ) from None
        except (HTTPError, OSError) as error:
            raise Unreachable(f"Waits for Kubernetes: it can't be reached ({error}).") from None


def _connect() -> Any:
    from kubernetes import client, config  # noqa: PLC0415 - an extra

    try:
        config.load_config()
    except config.ConfigException as error:
        raise Unreachable(f"Waits for Kubernetes: {error}.") from None
    return client.CustomObjectsApi()


def manifest(request: Request) -> dict[str, Any]:
    """The TrainJob of a run."""
    each = str(request.processes_a_node)
    resources = {"cpu": each} | ({GPU: each} if request.on_gpus else {})
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": request.name,
            "labels": {"app.kubernetes.io/managed-by": "oddsmith"},
        },
        "spec": {
            "runtimeRef": {
                "apiGroup": GROUP,
                "kind": "TrainingRuntime",
                "name": get_settings().kubernetes_runtime,
            },
            "trainer": {
                "numNodes": request.nodes,
                "command": request.command("node"),
                "resourcesPerNode": {"requests": resources, "limits": resources},
            },
        },
    }


def status_of(train_job: dict[str, Any]) -> Status:
    """How far a TrainJob is, by its conditions and by the state of its jobs."""
    status = train_job.get("status") or {}
    holding = {
        condition.get("type"): condition
        for condition in status.get("conditions") or ()
        if condition.get("status") == "True"
    }
    if "Complete" in holding:
        return Status(Phase.ENDED, code=0)
    if failed := holding.get("Failed"):
        return Status(Phase.ENDED, failed.get("message") or "the TrainJob has failed", code=1)
    if "Suspended" in holding:
        return Status(Phase.WAITING, "it is suspended until there is room.")
    active = any(job.get("active") for job in status.get("jobsStatus") or ())
    return Status(Phase.RUNNING) if active else Status(Phase.WAITING)
