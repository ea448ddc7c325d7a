"""Verbs that need no torch never load it, and give the same results as with it."""

import json
import shutil
import subprocess
import sys

import pytest

from orpo.contract.rundir import PREPARED
from orpo.tokens import prepare, special_strings
from tests.orpo.tiny_run import Bench

CODE = """
import sys, pathlib, orpo.{verb} as verb
verb.main(pathlib.Path(sys.argv[1]))
print([name for name, module in sys.modules.items() if name.split(".")[0] == "torch" and module])
"""


def loaded(verb: str, folder: object) -> tuple[dict[str, object], str]:
    """Run the verb in a new process; return its answer and the torch modules that it loaded."""
    command = [sys.executable, "-c", CODE.format(verb=verb), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer, modules = done.stdout.splitlines()[-2:]
    assert "PyTorch" not in done.stderr
    return json.loads(answer), modules


@pytest.mark.slow
def test_prepare(bench: Bench) -> None:
    answer, modules = loaded("prepare", bench.spec("without"))
    assert modules == "[]"
    without = tokens(bench)
    (made,) = bench.folder.glob("tokens-*")
    shutil.rmtree(made)
    assert prepare.main(bench.spec("with")) == 0
    assert json.loads((bench.folder / "with" / PREPARED).read_text()) == answer
    assert tokens(bench) == without


def tokens(bench: Bench) -> dict[str, bytes]:
    files = [path for path in bench.folder.glob("tokens-*/**/*") if path.is_file()]
    assert files
    return {str(path.relative_to(bench.folder)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_special_strings(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    answer, modules = loaded("special_strings", bench.base)
    assert modules == "[]"
    assert special_strings.main(bench.base) == 0
    assert json.loads(capsys.readouterr().out) == answer
