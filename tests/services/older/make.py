"""Makes data of an older release: a backup with a paused job, and its tiny base model.

    python -m tests.services.older.make CHECKOUT OUT.tar.xz

CHECKOUT is a working copy of that release with everything installed. This script starts the stack
of that release, trains a model of 24,000 random weights with it, and makes a backup. The code of
this release makes the model and sends the requests. The archive contains `backup/` and `base/`.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.orpo.tiny_run import write_base

SETTINGS = {
    "max_steps": 300, "batch_size": 4, "learning_rate": 1e-2, "precision": "fp32", "lora_rank": 2,
    "max_length": 256, "token_budget": 300, "eval_every": 100, "checkpoint_every": 50,
    "n_samples": 1, "sample_tokens": 4, "n_epochs": 100,
}  # fmt: skip
PAUSED_AFTER = 12


def make(checkout: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_base(folder / "base")
        stack = Stack(checkout, folder / "var")
        stack.run("up", "--detach")
        try:
            job = pause(stack, folder)
            stack.run("backup", str(folder / "backup"))
        finally:
            stack.run("down")
        with tarfile.open(out, "w:xz") as archive:
            for name in ("backup", "base"):
                archive.add(folder / name, name)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, paused at step {job['progress']['step']}")  # noqa: T201


class Stack:
    """A stack of the older release."""

    def __init__(self, checkout: Path, var: Path) -> None:
        self.checkout, self.var = checkout, var

    def run(self, *arguments: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("ODDSMITH_")}
        command = [str(self.checkout / ".venv/bin/python"), "-m", "cli.main", *arguments]
        env |= {"ODDSMITH_VAR": str(self.var), "PYTHONPATH": str(self.checkout)}
        subprocess.run(command, cwd=self.checkout, env=env, check=True)

    def http(self) -> httpx.Client:
        running = json.loads((self.var / "stack.json").read_text())
        key = {"Authorization": f"Bearer {running['api_key']}"}
        return httpx.Client(base_url=running["url"], headers=key, timeout=120)


def pause(stack: Stack, folder: Path) -> dict[str, Any]:
    """Train on a few pairs and pause; return the paused job."""
    pairs = folder / "pairs.jsonl"
    rows = [
        {"prompt": f"Say {n}.", "chosen": f"{n}.", "rejected": f"Why should I say {n}?"}
        for n in range(40)
    ]
    pairs.write_text("\n".join(map(json.dumps, rows)))
    with stack.http() as http:
        base = {"id": "tiny", "path": str(folder / "base")}
        http.post("/v1/models", json=base).raise_for_status()
        with pairs.open("rb") as content:
            sent = http.post(
                "/v1/files", files={"file": content}, data={"purpose": "fine-tune"}
            ).raise_for_status()
        file = sent.json()["id"]
        until(lambda: http.get(f"/v1/files/{file}").json()["status"] == "processed")
        method = {"type": "orpo", "orpo": {"hyperparameters": SETTINGS}}
        body = {"model": "tiny", "training_file": file, "method": method, "seed": 7}
        job = http.post("/v1/fine_tuning/jobs", json=body).raise_for_status().json()
        path = f"/v1/fine_tuning/jobs/{job['id']}"

        def at(status: str, step: int = 0) -> bool:
            found = http.get(path).json()
            assert found["status"] not in ("failed", "succeeded"), found["error"]
            return found["status"] == status and (found["progress"] or {}).get("step", 0) >= step

        until(lambda: at("running", PAUSED_AFTER))
        http.post(f"{path}/pause").raise_for_status()
        until(lambda: at("paused"))
        return http.get(path).json()


def until(condition: Any, timeout_s: float = 180) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "It took too long."
        time.sleep(0.05)


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
