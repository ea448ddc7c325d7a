"""The speed of one large upload, and the server's memory during it: `--gib 1`.

Starts the API on a scratch Postgres; the rows are generated while they are sent.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from cli.stack.scratch import scratch_api

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


def upload(url: str, key: str, size_bytes: int) -> dict[str, object]:
    response = httpx.post(
        f"{url}/v1/files",
        content=body(size_bytes),
        headers={
            "Authorization": f"Bearer {key}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        },
        timeout=600,
        trust_env=False,
    )
    return response.raise_for_status().json()


class Peak(threading.Thread):
    """Samples the resident memory of a process 100 times a second and keeps the maximum."""

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
    with tempfile.TemporaryDirectory() as folder, scratch_api(Path(folder)) as api:
        process = psutil.Process(api.process.pid)
        upload(
            api.url, api.key, 1
        )  # The first request also imports and connects; it is not measured.
        before_bytes = process.memory_info().rss
        peak = Peak(process)
        peak.start()
        started_s = time.perf_counter()
        file = upload(api.url, api.key, size_bytes)
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
