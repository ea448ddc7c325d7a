"""The example for the `openai` client, run against a running stack."""

import subprocess
import sys
from itertools import islice

import pytest

from tests.e2e.conftest import EXAMPLES, Stack

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]


def test_it_goes_from_a_file_to_an_answer(stack: Stack, tiny: str, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    with (EXAMPLES / "short-answers.jsonl").open() as lines:
        pairs.write_text("".join(islice(lines, 16)))
    settings = [f"--set={each}" for each in ("max_steps=2", "batch_size=2", "n_samples=0")]
    command = [
        sys.executable, EXAMPLES / "with_openai_client.py", "--model", tiny, "--pairs", pairs,
        "--stack", stack.var / "stack.json", *settings,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{stack.logs()}"
    events, _, answers = done.stdout.partition(f"\n{tiny}: ")
    assert "Finished" in events.splitlines()[-1]
    of_base, _, of_tuned = answers.partition("\nft:")
    assert of_base.strip()
    assert of_tuned.partition(": ")[2].strip()
