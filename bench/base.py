"""The demo's base model, which benchmarks train too."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "var" / "models" / "SmolLM2-135M-Instruct"


@contextmanager
def made_by_one(folder: Path) -> Iterator[None]:
    """Lock a folder while one process makes it; the others wait and then find it complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def demo_model() -> Path:
    """Return the model's folder; it is unpacked once per checkout."""
    with made_by_one(MODEL):
        if not (MODEL / "config.json").exists():
            command = [sys.executable, "-m", "orpo.unpack_gguf", str(MODEL)]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return MODEL
