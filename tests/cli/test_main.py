"""`oddsmith` itself: its version, and what it says of a mistyped command or option."""

import re
import tomllib

import pytest

from cli.stack.parts import ROOT
from tests.cli.conftest import Oddsmith


def test_the_version_is_the_package_s(oddsmith: Oddsmith) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    result = oddsmith("--version")
    assert (result.exit_code, result.stdout) == (0, f"oddsmith {declared}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("fils", "No such command 'fils'. Did you mean 'files'?"),
        ("evaluatons list", "Did you mean 'evaluations' or 'evaluate'?"),
        ("files uplod", "No such command 'uplod'. Did you mean 'upload'?"),
        ("upload pairs.jsonl", "No such command 'upload'. Did you mean 'files upload'?"),
        ("--verson", "No such option: --verson (Possible options: --version)"),
        ("jobs create --modle m", "options: --file, --method, --model)"),
        ("chat --temprature 1", "(Possible options: --temperature)"),
        ("xyzzy", "No such command 'xyzzy'. "),
    ],
)
def test_a_mistyped_command_or_option_gets_a_suggestion(
    oddsmith: Oddsmith, arguments: str, said: str
) -> None:
    result = oddsmith(*arguments.split())
    assert result.exit_code == 2
    assert said in re.sub(r"[\s│]+", " ", result.stderr)
