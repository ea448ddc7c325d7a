"""External packages and images are declared and locked by hash or digest."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cli.stack.parts import ROOT
from docker.install_missing import normal
from tools import audit, digests, install
from tools.lock import EXTRAS, IMAGE_EXTRAS, entries, pins

LOCKS = [ROOT / "requirements.lock", *sorted((ROOT / "docker").glob("requirements-*.txt"))]
# The lock of `serve` contains only packages that vLLM's image lacks.
LOCKED = {ROOT / "requirements.lock": EXTRAS} | {
    ROOT / "docker" / f"requirements-{image}.txt": extras
    for image, extras in IMAGE_EXTRAS.items()
    if image != "serve"
}
NODE_LOCKS = [ROOT / "web", ROOT / "tests" / "e2e" / "browser"]
# Images whose digest is not known yet: `make digests` needs Docker and their registry.
OPEN_IMAGES = {
    "grafana/grafana:12.1.1", "node:24.19.0-bookworm-slim", "postgres:18.6-bookworm",
    "prom/prometheus:v3.5.0", "python:3.11.15-slim-bookworm", "redis:8.2.3-bookworm",
    "vllm/vllm-openai:v0.32.0",
}  # fmt: skip
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PRODUCT = ("api", "cli", "evals", "migrations", "models", "orpo", "services", "workers")


# ---- pyproject.toml ----


def requirements(extras: Iterable[str]) -> dict[str, Requirement]:
    """The requirements in pyproject.toml with these extras, by name."""
    project = PYPROJECT["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    asked = [Requirement(line) for line in lines]
    found = {normal(each.name): each for each in asked}
    ours = found.pop("oddsmith", None)  # an extra that contains others
    return found | (requirements(ours.extras) if ours else {})


def imports(path: Path) -> set[str]:
    """The packages that a file imports, without the standard library."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_each_package_that_the_product_imports_is_declared():
    declared = requirements(PYPROJECT["project"]["optional-dependencies"]).keys()
    distributions = packages_distributions()
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    imported = {name for path in files for name in imports(path)} - set(PRODUCT)
    assert len(imported) > 20
    undeclared = {
        name
        for name in imported
        if declared.isdisjoint(map(normal, distributions.get(name, [name])))
    }
    assert undeclared == set()


@pytest.mark.parametrize("lock", LOCKED, ids=lambda path: path.name)
def test_a_lock_has_a_version_of_each_package_that_is_declared(lock: Path):
    left_out = PYPROJECT["tool"]["uv"]["exclude-dependencies"] if lock.parent == ROOT else []
    locked = pins(lock)
    asked = requirements(LOCKED[lock])
    assert len(asked) > 20
    for name, requirement in asked.items():
        if name not in left_out:
            version = locked[name].partition("==")[2].partition(" ")[0]
            assert requirement.specifier.contains(version), f"{requirement}: {version} is locked"


def test_each_pattern_of_package_data_matches_a_file():
    for pattern in PYPROJECT["tool"]["setuptools"]["package-data"]["*"]:
        found = [path for folder in PRODUCT for path in (ROOT / folder).rglob(pattern)]
        assert found, pattern


# ---- hashes ----


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_each_package_of_a_lock_has_the_hashes_of_its_files(lock: Path):
    text = lock.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = entries(lock)
    for name, entry in found.items():
        assert re.search(r" \\\n    --hash=sha256:[0-9a-f]{64}", entry), name
    # Packages and their hashes only: no index, no URL, no local file.
    for line in lines:
        assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?|[a-z0-9.-]+==[^:@]+", line), line
    assert {line.partition("==")[0] for line in lines if "==" in line} == set(found)


def test_all_but_torch_and_this_checkout_is_installed_by_its_hash(monkeypatch):
    ran: list[list[str]] = []

    def follow(argv: list[str], _: install.Bar) -> int:
        ran.append(argv)
        # uv fails, so that the fallback to pip is tested too.
        return int("uv" in argv)

    monkeypatch.setattr(install, "follow", follow)
    for name in ("uv", "locked packages", "torch", "oddsmith"):
        install.STEPS[name](install.Bar())
    unhashed = [argv for argv in ran if "--require-hashes" not in argv]
    assert len(ran) == 6
    assert [argv[-1] for argv in unhashed] == [install.TORCH, str(ROOT), str(ROOT)]
    for argv in ran:
        if "uv" in argv:
            assert "--build-constraints" in argv


def test_each_image_installs_its_lock_by_hash():
    text = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    installs = [line for line in text.splitlines() if re.search(r"pip install .*-r ", line)]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line, line


@pytest.mark.parametrize("folder", NODE_LOCKS, ids=lambda path: path.name)
def test_each_node_package_has_its_hash(folder: Path):
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert len(packages) > 2
    for name, package in packages.items():
        # Skip the project itself, and bundled packages: the archive around them has the hash.
        if name and not package.get("inBundle"):
            assert package.get("integrity", "").startswith("sha512-"), name


@pytest.mark.parametrize("folder", NODE_LOCKS, ids=lambda path: path.name)
def test_no_node_package_runs_a_program_when_it_is_installed(folder: Path):
    assert "ignore-scripts=true" in (folder / ".npmrc").read_text().splitlines()


def test_images_have_digests_or_are_listed_as_open():
    found = {}
    for path in digests.FILES:
        text = path.read_text()
        named = digests.references(text)
        written = set(re.findall(r"^(?:\s*image: |FROM )([^\s@]+)", text, re.MULTILINE))
        ours = {name for name in written if "ODDSMITH" in name or ":" not in name}
        assert written - ours == set(named), path.name
        found |= named
    assert {image for image, digest in found.items() if not digest} == OPEN_IMAGES


def test_a_digest_is_put_beside_the_tag_and_replaced():
    text = "FROM node:24.1.0-slim AS page\n    image: redis:8.2.3\nFROM page AS rest\n"
    first = digests.pin(text, {"node:24.1.0-slim": "sha256:" + "0" * 64, "redis:8.2.3": "x"})
    assert first.splitlines()[0] == f"FROM node:24.1.0-slim@sha256:{'0' * 64} AS page"
    assert first.splitlines()[2] == "FROM page AS rest"
    again = digests.pin(first, {"node:24.1.0-slim": "sha256:" + "1" * 64, "redis:8.2.3": "x"})
    assert again.splitlines()[0] == f"FROM node:24.1.0-slim@sha256:{'1' * 64} AS page"


# ---- make audit ----

SOUND = {"dependencies": [{"name": "idna", "version": "3.20", "vulns": []}], "fixes": []}
WEAK = {
    "dependencies": [
        {"name": "idna", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.7"]}]}
    ]
}
SKIPPED = {"dependencies": [{"name": "idna", "skip_reason": "not found on PyPI"}]}


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (json.dumps(SOUND), 0, "no known vulnerability"),
        (json.dumps(WEAK), 1, "idna 1.0: PYSEC-1, repaired in 3.7"),
        (json.dumps(SKIPPED), 2, "COULD NOT BE CHECKED (not checked: idna)"),
        ("", 2, "COULD NOT BE CHECKED (no route to host)"),
    ],
)
def test_what_pip_audit_answers(answer: str, code: int, said: str, capsys):
    assert audit.tell([audit.python_report("a.lock", answer, "x\nno route to host\n")]) == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"vulnerabilities": {}}, 0),
        ({"vulnerabilities": {"vite": {"severity": "high"}}}, 1),
        ({"message": "405 Method Not Allowed", "error": {}}, 2),
    ],
)
def test_what_npm_audit_answers(answer: dict[str, object], code: int):
    assert audit.tell([audit.node_report("package-lock.json", json.dumps(answer), "")]) == code


def test_a_program_that_is_not_there_is_no_clean_audit():
    stdout, stderr = audit.ask(["no-such-program-of-ours"])
    assert audit.tell([audit.node_report("package-lock.json", stdout, stderr)]) == 2
