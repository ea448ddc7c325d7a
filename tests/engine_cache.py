"""Keeps vLLM's cache of model class properties between the folders of tests.

Without it, each start of an engine runs a process that imports vLLM again: 8 s of a core. vLLM
validates the cache by a hash of the class's source.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "var" / "tests" / "modelinfos"


@contextmanager
def lent_to(var: Path) -> Iterator[None]:
    """Copy the cache to where the engines of `var` read it; copy it back at the end."""
    own = var / "cache" / "vllm" / "modelinfos"
    if KEPT.exists():
        shutil.copytree(KEPT, own)
    try:
        yield
    finally:
        if own.exists():
            shutil.copytree(own, KEPT, dirs_exist_ok=True)
