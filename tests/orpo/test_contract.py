"""The contract between core and platform: defined once, and importable without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from orpo.contract import rundir
from orpo.contract.failures import EXIT_STATUS, Code
from orpo.contract.numbers import Phase, Series, margin, share

ROOT = Path(__file__).parents[2]
CODE = ("api", "bench", "cli", "models", "orpo", "services", "workers")
CONTRACT = ROOT / "orpo" / "contract"

# Names that also mean other things, such as `loss` or an upload's `pairs.jsonl`, are left out.
FILES = [
    rundir.SPEC, rundir.METRICS, rundir.EVENTS, rundir.SAMPLES, rundir.PREPARED,
    rundir.TRAIN_ROWS, rundir.HELD_OUT_ROWS, rundir.TOKENS_NOTE, rundir.PROBE, rundir.BASE,
    rundir.log(), rundir.DEADLINE_FILE, rundir.TREE,
]  # fmt: skip
SERIES = [
    *(series for series in Series if "/" in series),
    *map(share, Phase), margin(0.05), Series.MEM_PEAK_BYTES, Series.TRUNCATED_SHARE,
]  # fmt: skip
CODES = [code for code in Code if "_" in code]


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """All code except the contract, by path."""
    paths = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for path in paths
        if CONTRACT not in path.parents
    }


@pytest.mark.parametrize("name", [*FILES, *SERIES, *CODES])
def test_a_name_of_the_contract_is_written_once(name: str, sources: dict[str, str]) -> None:
    assert [path for path, text in sources.items() if f'"{name}"' in text] == []


def test_each_code_that_the_core_can_give_has_an_exit_status() -> None:
    """The other codes are set from outside the process."""
    outside = {Code.TIMEOUT, Code.KILLED, Code.LIMIT, Code.ATTEMPTS_EXHAUSTED}
    assert set(EXIT_STATUS) == set(Code) - outside


def test_contract_and_rows_are_imported_without_torch() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("contract", "rows")
        for path in (ROOT / "orpo" / room).glob("*.py")
    ]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
