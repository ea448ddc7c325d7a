"""The parts of the stack: each one's command, its environment and its readiness check."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from cli.stack.folder import Folder, Secrets
from cli.stack.process import Part, Stage

ROOT = Path(__file__).resolve().parents[2]
QUEUES = {
    "files": "Files worker",
    "prepare": "Preparing worker",
    "train": "Training worker",
    "serve": "Serving worker",
    "evals": "Evaluation worker",
}
# A streaming answer may continue this long after the API was asked to stop.
API_GRACE_S = 5
API_CONNECTION = "api.connections:Connection"


def environment(
    folder: Folder, *, api_url: str, database_url: str, redis_url: str
) -> dict[str, str]:
    """Return the environment of every part. The user's own variables take precedence."""
    ours = {
        "ODDSMITH_STORAGE_URL": folder.storage.as_uri(),
        "ODDSMITH_RUNS": str(folder.runs),
        "ODDSMITH_VLLM_PYTHON": sys.executable,
        # Everything runs here, and a host name may not resolve.
        "ODDSMITH_NODE_ADDRESS": "127.0.0.1",
    }
    fixed = {
        "ODDSMITH_VAR": str(folder.path),
        "ODDSMITH_API_URL": api_url,
        "ODDSMITH_DATABASE_URL": database_url,
        "ODDSMITH_REDIS_URL": redis_url,
        "PYTHONUNBUFFERED": "1",
    }
    return ours | os.environ | fixed


def step(name: str, title: str, stage: Stage, env: Mapping[str, str], *arguments: str) -> Part:
    argv = (sys.executable, "-m", *arguments)
    return Part(name, argv, title=title, stage=stage, env=env, cwd=ROOT, once=True)


def schema(env: Mapping[str, str]) -> Part:
    return step("migrate", "Migrations", Stage.SCHEMA, env, "alembic", "upgrade", "head")


def seed(env: Mapping[str, str], secrets: Secrets) -> Part:
    with_key = {**env, "ODDSMITH_FIRST_KEY": secrets.api_key}
    return step("seed", "First key", Stage.SEED, with_key, "services.files.seed")


def run_folder(env: Mapping[str, str]) -> Part:
    return step("run-folder", "Run folder", Stage.SEED, env, "services.platform.run_folder")


def api(env: Mapping[str, str], host: str, port: int) -> Part:
    url = env["ODDSMITH_API_URL"]
    where = ("--factory", "--host", host, "--port", str(port))
    connection = ("--http", API_CONNECTION)
    grace = ("--timeout-graceful-shutdown", str(API_GRACE_S))
    return Part(
        name="api",
        title="API",
        detail=url,
        argv=(sys.executable, "-m", "uvicorn", "api.app:create_app", *where, *connection, *grace),
        env=env,
        cwd=ROOT,
        ready=lambda: answers(f"{url}/readyz"),
    )


def worker(env: Mapping[str, str], queue: str) -> Part:
    # `solo`: one task at a time in the worker's only process, which is what a training or an engine
    # needs. Gossip and mingle would only add messages between workers that share no state.
    name = ("-Q", queue, "-n", f"{queue}@%h", "--loglevel", "INFO")
    shape = ("--pool", "solo", "--concurrency", "1", "--without-gossip", "--without-mingle")
    return Part(
        name=f"worker-{queue}",
        title=QUEUES[queue],
        argv=(sys.executable, "-m", "celery", "-A", "workers.app", "worker", *name, *shape),
        env=env,
        cwd=ROOT,
        ready_text=" ready.",
    )


def keeper(env: Mapping[str, str]) -> Part:
    argv = (sys.executable, "-m", "workers.keeper")
    return Part("keeper", argv, title="Keeper", env=env, cwd=ROOT)


def services(env: Mapping[str, str], secrets: Secrets, host: str, port: int) -> list[Part]:
    workers = [worker(env, queue) for queue in QUEUES]
    once = [schema(env), run_folder(env), seed(env, secrets)]
    return [*once, api(env, host, port), *workers, keeper(env)]


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - our own URL
            return response.status == 200
    except (URLError, OSError):
        return False
