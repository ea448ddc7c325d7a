"""Which launcher starts runs: one setting, ODDSMITH_LAUNCHER."""

from pathlib import Path
from typing import Protocol

from orpo.contract.spec import RunSpec
from services.launchers.cluster import Cluster, Request, Submission
from services.launchers.kubernetes import Kubernetes
from services.launchers.leases import Lease
from services.launchers.local import Node, launch
from services.launchers.ray import Ray
from services.launchers.slurm import Slurm
from services.platform.settings import Launcher, get_settings

CLUSTERS: dict[Launcher, type[Cluster]] = {
    Launcher.RAY: Ray,
    Launcher.SLURM: Slurm,
    Launcher.KUBERNETES: Kubernetes,
}


class Launched(Protocol):
    """A run that was started here or submitted to a cluster.

    `waits_for` is a sentence while it has not begun. `why` says why it ended, where the launcher
    knows more than its exit status.
    """

    waits_for: str | None
    why: str | None

    def poll(self) -> int | None:
        """The exit status; None while it waits or runs."""
        ...

    def renew(self) -> None:
        """Let the ranks live for another lease."""
        ...

    def ask_to_stop(self) -> bool:
        """Let the ranks save and end; False if none could receive it yet."""
        ...

    def kill(self) -> None:
        """End all ranks at once; does nothing if they have ended."""
        ...


def is_local() -> bool:
    """Whether runs are started on the worker's own machine, whose devices the platform leases."""
    return get_settings().launcher is Launcher.LOCAL


def name_of(job_id: str, generation: int) -> str:
    """The name of one attempt of a job on a cluster: a DNS label, unique, and so a fence."""
    return f"oddsmith-{job_id.replace('_', '-').lower()}-g{generation}"


def start(run_dir: Path, spec: RunSpec, *, verb: str, node: Node, name: str) -> Launched:
    """Start a run of this spec, which its folder holds. `name` is unique for each attempt."""
    if is_local():
        return launch(run_dir, spec, verb=verb, node=node, has_deadline=True)
    settings = get_settings()
    request = Request(
        name=name,
        run_dir=run_dir,
        verb=verb,
        nodes=spec.method.nodes,
        processes_a_node=spec.method.processes // spec.method.nodes,
        on_gpus=settings.cluster_device == "gpu",
    )
    lease = Lease(run_dir)
    lease.renew()
    return Submission(CLUSTERS[settings.launcher](), request, lease)
