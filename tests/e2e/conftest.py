"""The real stack, started by `oddsmith up --detach`, and helpers to use it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from openai import OpenAI
from playwright.sync_api import Browser, expect

from cli.stack import parts
from tests import engine_cache
from tests.e2e import chromium
from tests.e2e.wait import wait_for
from tests.listeners import Watch, watching
from tests.processes import those

# Engines and trainings of another test may have both cores: by default, an expectation waits 5 s.
expect.set_options(timeout=20_000)

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SHARED = Path(os.environ.get("ODDSMITH_SHARED", ROOT.parent / "shared"))
SMOLLM2 = "SmolLM2-135M-Instruct"
SETTINGS = {
    # Shorter heartbeats, so that tests wait less; the leases are the product's.
    "ODDSMITH_HEARTBEAT_S": "0.5",
    # Two engines of these tests and one of another test are in memory at the same time.
    "ODDSMITH_ENGINE_MEMORY_GIB": "1",
    # No training may see it. No job of these tests names W&B.
    "ODDSMITH_WANDB_API_KEY": "of-weights-and-biases",
}


@dataclass
class Stack:
    """A stack in its own folder, and helpers to use it."""

    var: Path
    watch: Watch = field(default_factory=Watch)

    def oddsmith(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("ODDSMITH_")}
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=env | SETTINGS | {"ODDSMITH_VAR": str(self.var)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def up(self) -> None:
        done = self.oddsmith("up", "--detach")
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        done = self.oddsmith("down")
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def running(self) -> dict[str, str]:
        return json.loads((self.var / "stack.json").read_text())

    def http(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.running["url"],
            headers={"Authorization": f"Bearer {self.running['api_key']}"},
            timeout=120,
            verify=False,  # plain HTTP; loading certificates per client would take 30 ms of a core
        )

    def openai(self) -> OpenAI:
        running = self.running
        return OpenAI(base_url=f"{running['url']}/v1", api_key=running["api_key"], timeout=300)

    def logs(self) -> str:
        """The ends of all logs, for the message of a failed test."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.var / "log").glob("*.log"))
        )

    def story(self, job_id: str) -> str:
        """A job's events, oldest first, for the message of a failed test."""
        with self.http() as http:
            events = http.get(
                f"/v1/fine_tuning/jobs/{job_id}/events", params={"limit": 100, "type": "message"}
            ).json()
        return "\n".join(
            f"{event['created_at']} {event['level']}: {event['message']}"
            for event in reversed(events["data"])
        )

    def processes(self, *words: str) -> list[psutil.Process]:
        """The stack's processes whose command line contains all `words`, in this order."""
        return those(
            psutil.Process(int(self.running["pid"])).children(recursive=True),
            lambda process: " ".join(words) in " ".join(process.cmdline()),
        )

    def kill_api(self) -> None:
        """Send SIGKILL to the API; return when the stack has restarted it."""
        # The last match: the leash around it has the same arguments.
        killed = self.processes("-m", "uvicorn", "api.app:create_app")[-1]
        killed.kill()
        psutil.wait_procs([killed], timeout=5)
        wait_for(lambda: parts.answers(f"{self.running['url']}/readyz"), 60, self.logs)

    def run_dir(self, job_id: str, generation: int) -> Path:
        return self.var / "runs" / job_id / f"g{generation}"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack") / "var")
    with engine_cache.lent_to(stack.var):
        stack.up()
        with watching(lambda: int(stack.running["pid"])) as stack.watch:
            yield stack
        stack.down()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launched() as browser:
        yield browser


@pytest.fixture(scope="package")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with random weights, small enough that a step takes milliseconds.

    vLLM can serve it, since its heads are 32 wide. Embedding and head are not tied: tied, it would
    only repeat the last token of the prompt, a newline.
    """
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    # In another process, so that this one needs no torch.
    make = "import sys, pathlib; from tests.orpo.tiny_run import write_base as w; "
    make += "w(pathlib.Path(sys.argv[1]), hidden_size=64, intermediate_size=96, "
    make += "num_attention_heads=2, tie_word_embeddings=False)"
    subprocess.run([sys.executable, "-c", make, str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="package")
def tiny(stack: Stack, tiny_folder: Path) -> str:
    return register(stack, "tiny", tiny_folder)


@pytest.fixture(scope="package")
def base(stack: Stack, smollm2: Path) -> str:
    return register(stack, SMOLLM2, smollm2)


def register(stack: Stack, name: str, folder: Path) -> str:
    with stack.http() as http:
        answer = http.post("/v1/models", json={"id": name, "path": str(folder)})
    assert answer.status_code == 200, answer.text
    return name


@pytest.fixture
def upload(stack: Stack) -> Callable[[Path], str]:
    """Upload a file and wait until it has been validated."""

    def send(path: Path) -> str:
        client = stack.openai()
        with path.open("rb") as content:
            file = client.files.create(file=content, purpose="fine-tune")
        done = client.files.wait_for_processing(file.id, poll_interval=0.3, max_wait_seconds=120)
        assert done.status == "processed", done
        return done.id

    return send


@pytest.fixture
def until(stack: Stack) -> Callable[..., dict]:
    """Wait until a job satisfies a condition; fail the test if the job ends before."""

    def wait(job_id: str, condition: Callable[[dict], bool], timeout_s: float = 240) -> dict:
        def look() -> dict | None:
            with stack.http() as http:
                job = http.get(f"/v1/fine_tuning/jobs/{job_id}").json()
            if condition(job):
                return job
            assert job["status"] not in ("succeeded", "failed", "cancelled"), (
                f"{job['status']}: {job['error']}\n{stack.logs()}"
            )
            return None

        return wait_for(look, timeout_s, stack.logs)

    return wait
