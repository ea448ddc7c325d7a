"""What vLLM found out about a class of models, kept from one folder of a test to the next.

It spares an engine's start a process that imports vLLM once more, 8 s of a core. vLLM itself
compares what it finds with a hash of the class's source.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "var" / "tests" / "modelinfos"


@contextmanager
def lent_to(var: Path) -> Iterator[None]:
    """Put it where the engines of `var` look; keep what is there at the end."""
    own = var / "cache" / "vllm" / "modelinfos"
    if KEPT.exists():
        shutil.copytree(KEPT, own)
    try:
        yield
    finally:
        if own.exists():
            shutil.copytree(own, KEPT, dirs_exist_ok=True)
