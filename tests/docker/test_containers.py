"""Runs each container's command without Docker until its healthcheck passes.

Commands, environments, healthchecks and grace periods are read from docker-compose.yml. Only paths
and the API's port are replaced. If the tests run as root, each process has the limits of its
container: the image's uid, no capabilities, and a file system that is read-only except for its
folders.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.stack.parts import ROOT
from cli.stack.ports import Ports
from cli.stack.postgres import Postgres
from cli.stack.process import wait_until
from tests.conftest import create_database
from tests.docker.compose import UID, seconds, services

pytestmark = [pytest.mark.stack, pytest.mark.slow]

KEY = "sk-odd-of-the-test"
WATCH_KEY = "sk-odd-of-prometheus"
ENGINE_SECRET = "of-the-test-and-long-enough-for-a-secret"
_numbers = count()
LONG_RUNNING = (
    "api", "files-worker", "prepare-worker", "serve-worker", "keeper", "train-worker",
    "evals-worker",
)  # fmt: skip
FOLDERS = ("storage", "runs", "models", "merged", "cache", "log", "secrets")

# $1: the writable folder; $2: the folder of the Python installation, which may be below a home that
# other users can't enter; $3: a home to hide, or empty.
CONFINE = f"""
set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1/python"
mount -o remount,bind,ro /
if [ "$3" ]; then
    mount -t tmpfs -o mode=755 tmpfs "$3"
    mkdir -p "$2"
    mount --bind "$1/python" "$2"
fi
shift 3
exec setpriv --reuid {UID} --regid {UID} --clear-groups --no-new-privs \
    --bounding-set=-all --inh-caps=-all "$@"
"""


@dataclass
class Containers:
    """The services of docker-compose.yml as plain processes on one folder."""

    folder: Path
    port: int
    confined: bool

    def __post_init__(self) -> None:
        self.services = services()

    def argv(self, words: list[str]) -> list[str]:
        words = [str(self.port) if word == "8000" else self._moved(word) for word in words]
        return self.confine(words) if self.confined else words

    def confine(self, words: list[str]) -> list[str]:
        home = "/root" if sys.base_prefix.startswith("/root/") else ""
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", CONFINE, "confine"]
        return [*unshare, str(self.folder), sys.base_prefix, home, *words]

    def env(self, name: str) -> dict[str, str]:
        given = self.services[name]["environment"].items()
        # /tmp is a tmpfs in each container. Here all would share it, so use the cache folder.
        own = {key: self._moved(value) for key, value in given if value is not None}
        own = {key: str(self.folder / "cache") if value == "/tmp" else value
               for key, value in own.items()}  # fmt: skip
        python = Path(sys.executable).parent
        return own | {
            "PATH": f"{python}:/usr/bin:/bin",
            "ODDSMITH_SECRETS": str(self.folder / "secrets"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _moved(self, text: str) -> str:
        text = text.replace("/run/secrets", str(self.folder / "secrets"))
        return text.replace("/var/lib/oddsmith", str(self.folder))

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        return self._once(name, self.services[name]["command"])

    def check(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self._once(name, words, **env)

    def _once(self, name: str, words: list[str], **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(words), cwd=ROOT, env=self.env(name) | env, timeout=60,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{name}.out").open("wb") as output:
            process = subprocess.Popen(
                self.argv(self.services[name]["command"]), cwd=ROOT, env=self.env(name),
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text(errors="replace")

    def until(self, name: str, is_healthy: bool, timeout_s: float) -> float:
        """Wait until the healthcheck's result is `is_healthy`; return the time in seconds."""
        started = time.monotonic()
        found: Any = None
        while time.monotonic() - started < timeout_s:
            found = self.check(name)
            if (found.returncode == 0) == is_healthy:
                return time.monotonic() - started
            time.sleep(1)
        raise AssertionError(f"{name}: {found.stdout}{found.stderr}\n{self.output(name)}")


@pytest.fixture
def containers(postgres: Postgres, redis_url: str, request) -> Iterator[Containers]:
    """Containers with an empty database, their folders and their secrets."""
    database = f"containers_{next(_numbers)}"
    create_database(postgres, database)
    # Not pytest's folder: only the user who runs the tests can enter it.
    folder = Path(tempfile.mkdtemp(prefix="oddsmith-containers-"))
    secrets = {
        "oddsmith_database_url": postgres.sqlalchemy_url(database),
        "oddsmith_redis_url": redis_url,
        "oddsmith_first_key": KEY,
        "oddsmith_watch_key": WATCH_KEY,
        "oddsmith_engine_secret": ENGINE_SECRET,
        "oddsmith_endpoint_secrets": "",
        "oddsmith_webhook_secret": "",
        "oddsmith_wandb_api_key": "",
        "hf_token": "",
        "aws_credentials": "",
    }
    for name in (*FOLDERS, "python"):
        (folder / name).mkdir()
    for name, text in secrets.items():
        (folder / "secrets" / name).write_text(text)
        (folder / "secrets" / name).chmod(0o600)
    folder.chmod(0o755)
    with Ports() as ports:
        found = Containers(folder, ports.choose(), confined=False)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UID, UID)
        found.confined = can_confine(found)
    yield found
    shutil.rmtree(folder)


def can_confine(containers: Containers) -> bool:
    words = containers.confine(["python3", "-c", "import celery, orpo.contract.spec"])
    env = containers.env("keeper")
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        warnings.warn(f"run without the containers' limits: {done.stderr}", stacklevel=2)
    return done.returncode == 0


def test_each_container_becomes_healthy_and_stops_in_time(containers):
    for name in ("migrate", "seed", "migrate", "seed"):
        done = containers.run(name)
        assert done.returncode == 0, done.stdout + done.stderr
    with ExitStack() as stack:
        started = {name: stack.enter_context(containers.running(name)) for name in LONG_RUNNING}
        for name in LONG_RUNNING:
            containers.until(name, is_healthy=True, timeout_s=90)

        answer = httpx.get(
            f"http://127.0.0.1:{containers.port}/v1/models",
            headers={"Authorization": f"Bearer {KEY}"}, trust_env=False,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        # The request that docker/prometheus/prometheus.yml configures.
        metrics = httpx.get(
            f"http://127.0.0.1:{containers.port}/metrics",
            headers={"Authorization": f"Bearer {WATCH_KEY}"}, trust_env=False,
        )  # fmt: skip
        for name in ("files", "prepare", "train", "serve"):
            assert f'oddsmith_workers{{queue="{name}"}} 1.0' in metrics.text
        assert "oddsmith_keeper_age_seconds 0." in metrics.text

        for process in started.values():
            process.terminate()
        for name, process in started.items():
            grace_s = seconds(containers.services[name]["stop_grace_period"])
            # uvicorn re-raises the signal after its shutdown.
            assert process.wait(grace_s) in (0, -signal.SIGTERM), containers.output(name)
            assert containers.check(name).returncode == 1, name
        # This includes uvicorn's own log lines after the settings are loaded.
        for name in ("api", "keeper"):
            last = json.loads(containers.output(name).splitlines()[-1])
            assert {"t", "level", "logger", "message"} <= last.keys(), name
    if containers.confined:
        strangers = [path for path in containers.folder.rglob("*") if path.stat().st_uid != UID]
        assert [path.suffix for path in strangers] == [".out"] * len(LONG_RUNNING)


def test_a_worker_that_hangs_or_lost_its_broker_is_not_healthy(containers):
    assert containers.run("migrate").returncode == 0
    with containers.running("serve-worker") as process:
        containers.until("serve-worker", is_healthy=True, timeout_s=90)

        # Only the healthcheck gets this URL: a worker that is still starting would use it too.
        lost = containers.check("serve-worker", ODDSMITH_REDIS_URL="redis://:wrong@127.0.0.1:9/0")
        assert "Redis does not answer" in lost.stdout

        process.send_signal(signal.SIGSTOP)
        containers.until("serve-worker", is_healthy=False, timeout_s=60)
        process.send_signal(signal.SIGCONT)
        containers.until("serve-worker", is_healthy=True, timeout_s=60)


def test_a_worker_at_work_is_healthy_though_it_asks_for_nothing(containers, tmp_path):
    """A process with a worker's arguments is healthy while it computes, and not while stopped."""
    check: Callable[[], int] = lambda: containers.check("files-worker").returncode  # noqa: E731
    loop = "import sys\nwhile True: pass"
    words = containers.argv(["python3", "-c", loop, "files@%h"])
    env = containers.env("files-worker")
    with subprocess.Popen(words, cwd=ROOT, env=env, start_new_session=True) as busy:
        try:
            assert wait_until(lambda: check() == 0, timeout_s=30)
            busy.send_signal(signal.SIGSTOP)
            check()
            assert check() == 1
        finally:
            busy.kill()
