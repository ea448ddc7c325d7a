"""How fast one large upload is, and what it costs the server in memory: `--gib 1`.

Starts the API on a scratch Postgres; the rows are generated while they are sent.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from cli.stack import ports
from cli.stack.scratch import scratch_postgres

KEY = "sk-odd-for-the-benchmark"
BOUNDARY = "oddsmith-bench"
ROW = json.dumps({"prompt": "Why?", "chosen": "Because. " * 60, "rejected": "Who knows. " * 50})
BLOCK = (ROW + "\n").encode() * 400


def body(size_bytes: int) -> Iterator[bytes]:
    purpose = 'Content-Disposition: form-data; name="purpose"\r\n\r\nfine-tune'
    file = 'Content-Disposition: form-data; name="file"; filename="big.jsonl"\r\n\r\n'
    yield f"--{BOUNDARY}\r\n{purpose}\r\n--{BOUNDARY}\r\n{file}".encode()
    for _ in range(size_bytes // len(BLOCK) + 1):
        yield BLOCK
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


def upload(url: str, size_bytes: int) -> dict[str, object]:
    response = httpx.post(
        f"{url}/v1/files",
        content=body(size_bytes),
        headers={
            "Authorization": f"Bearer {KEY}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        },
        timeout=600,
        trust_env=False,
    )
    return response.raise_for_status().json()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    with scratch_postgres(folder / "postgres") as postgres:
        port = ports.any_free()
        url = postgres.sqlalchemy_url()
        settings = {"DATABASE_URL": url, "VAR": str(folder), "FIRST_KEY": KEY}
        env = os.environ | {f"ODDSMITH_{name}": value for name, value in settings.items()}
        for command in (["-m", "alembic", "upgrade", "head"], ["-m", "services.seed"]):
            subprocess.run([sys.executable, *command], env=env, check=True, capture_output=True)
        command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app"]
        server = subprocess.Popen([*command, "--port", str(port), "--no-access-log"], env=env)
        try:
            wait_for(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}", psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait()


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            httpx.get(f"{url}/healthz", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The API did not start within 30 s.")


class Peak(threading.Thread):
    """Watches the resident memory of a process, 100 times a second."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.bytes, self.done = process, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.01):
            self.bytes = max(self.bytes, self.process.memory_info().rss)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--gib", type=float, default=1.0)
    size_bytes = int(arguments.parse_args().gib * 2**30)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (url, process):
        upload(url, 1)  # The first request imports and connects; that is not the upload's cost.
        before_bytes = process.memory_info().rss
        peak = Peak(process)
        peak.start()
        started_s = time.perf_counter()
        file = upload(url, size_bytes)
        took_s = time.perf_counter() - started_s
        peak.done.set()
    sent_mb = int(str(file["bytes"])) / 1e6
    figures = {
        "sent_mb": round(sent_mb),
        "seconds": round(took_s, 2),
        "mb_per_s": round(sent_mb / took_s),
        "rss_before_mb": round(before_bytes / 1e6, 1),
        "rss_growth_mb": round((peak.bytes - before_bytes) / 1e6, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
