"""The demo's base model, which benchmarks train, too."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "var" / "models" / "SmolLM2-135M-Instruct"


def demo_model() -> Path:
    """Its folder; unpacked once a checkout."""
    if not (MODEL / "config.json").exists():
        command = [sys.executable, "-m", "orpo.unpack_gguf", str(MODEL)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return MODEL
