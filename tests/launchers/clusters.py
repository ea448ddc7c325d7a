"""Starts the Ray cluster of tests, and loses a node of it."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RayCluster:
    """The job server's address, the token, and the process ids of the nodes' raylets."""

    process: subprocess.Popen[str]
    address: str
    token: str
    raylets: list[int]

    def lose_node(self) -> None:
        """Kill the second node, as if its machine had lost its power, except for the ranks."""
        os.kill(self.raylets.pop(), signal.SIGKILL)

    @property
    def settings(self) -> dict[str, str]:
        """Under which runs are submitted to the cluster."""
        return {
            "launcher": "ray",
            "cluster_device": "cpu",
            "ray_address": self.address,
            "ray_token": self.token,
        }

    def add_node(self) -> None:
        self.raylets.append(_tell(self.process, "node")["raylet"])


def _tell(process: subprocess.Popen[str], line: str = "") -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    if line:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return json.loads(process.stdout.readline())


@contextmanager
def ray_cluster(cores: int = 2) -> Iterator[RayCluster]:
    """Run the cluster of `tests.launchers.ray_cluster`, with a token of its own."""
    token = secrets.token_hex(20)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.launchers.ray_cluster", str(cores)],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT), "ODDSMITH_SANDBOX": "floor"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        cluster = RayCluster(process, token=token, **_tell(process))
        _await_jobs(cluster)
        yield cluster
        assert process.stdin
        process.stdin.close()


def _await_jobs(cluster: RayCluster) -> None:
    """The job server needs a second more than the nodes."""
    headers = {"Authorization": f"Bearer {cluster.token}"}
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"{cluster.address}/api/jobs/", headers=headers, timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise TimeoutError("Ray's job server did not answer within a minute.")
