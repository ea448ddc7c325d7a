"""The modules that the core imports at its start, in a new interpreter."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import orpo.run.train

assert "bitsandbytes" not in sys.modules
import bitsandbytes

assert bitsandbytes.functional
"""


@pytest.mark.slow
def test_a_start_leaves_bitsandbytes_alone_until_somebody_asks_for_it():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
