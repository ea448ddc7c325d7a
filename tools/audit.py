"""Checks every locked package for known vulnerabilities: run by `make audit`.

pip-audit checks Python's locks (advisories of PyPI), `npm audit` the page's. Exits with 0 only if
every lock was checked and nothing was found, with 1 if something was found, and with 2 if a lock
could not be checked. The packages of vLLM's image are in no lock and are not checked.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON_LOCKS = [ROOT / "requirements.lock", *sorted((ROOT / "docker").glob("requirements-*.txt"))]
NODE_LOCKS = [ROOT / "web", ROOT / "tests" / "e2e" / "browser"]

# Without `--strict`, a package that is unknown to the advisory source counts as safe.
PIP_AUDIT = (
    *(sys.executable, "-m", "uv", "tool", "run", "--quiet", "pip-audit==2.10.1"),
    *("--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off"),
    *("--format", "json", "--requirement"),
)
NPM_AUDIT = ("npm", "audit", "--json", "--package-lock-only")


@dataclass
class Report:
    """The result for one lock. `failure` is why it could not be checked."""

    lock: str
    vulnerabilities: list[str] = field(default_factory=list)
    failure: str = ""


def python_report(lock: str, stdout: str, stderr: str) -> Report:
    """Read pip-audit's answer: JSON with every package, or nothing and an error."""
    try:
        packages: list[dict[str, Any]] = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError):
        return Report(lock, failure=last_line(stderr))
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = [
        f"{package['name']} {package['version']}: {of['id']}, repaired in "
        f"{', '.join(of['fix_versions']) or 'no release'}"
        for package in packages
        for of in package.get("vulns", [])
    ]
    return Report(lock, found, f"not checked: {', '.join(skipped)}" if skipped else "")


def node_report(lock: str, stdout: str, stderr: str) -> Report:
    """Read npm's answer: JSON with `vulnerabilities` by package, or with an error."""
    try:
        answer: dict[str, Any] = json.loads(stdout)
        packages: dict[str, Any] = answer["vulnerabilities"]
    except (ValueError, KeyError):
        return Report(lock, failure=last_line(stderr))
    return Report(lock, [f"{name}: {of['severity']}" for name, of in sorted(packages.items())])


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and " log " not in line]
    return lines[-1] if lines else "no answer"


def ask(argv: Sequence[str], cwd: Path = ROOT) -> tuple[str, str]:
    """Return a program's output; its exit code does not distinguish a finding from a failure."""
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError as error:  # not found, or in a folder of the path that this user may not read
        return "", f"{argv[0]} can't be started: {error.strerror}"
    return done.stdout, done.stderr


def reports() -> list[Report]:
    python = [
        python_report(str(lock.relative_to(ROOT)), *ask([*PIP_AUDIT, str(lock)]))
        for lock in PYTHON_LOCKS
    ]
    node = [
        node_report(str(folder.relative_to(ROOT) / "package-lock.json"), *ask(NPM_AUDIT, folder))
        for folder in NODE_LOCKS
    ]
    return python + node


def tell(found: Sequence[Report]) -> int:
    """Print a line for each lock and return the exit code."""
    for report in found:
        what = "no known vulnerability"
        if report.failure:
            what = f"COULD NOT BE CHECKED ({report.failure})"
        elif report.vulnerabilities:
            what = f"{len(report.vulnerabilities)} known vulnerabilities"
        print(f"{report.lock}: {what}")
        for line in report.vulnerabilities:
            print(f"    {line}")
    if any(report.failure for report in found):
        print(
            "Not every lock could be checked: PyPI's or npm's advisories were not reached. "
            "Run `make audit` where they are reachable; until then nothing is known."
        )
        return 2
    return 1 if any(report.vulnerabilities for report in found) else 0


if __name__ == "__main__":
    sys.exit(tell(reports()))
