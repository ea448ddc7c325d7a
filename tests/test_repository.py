"""The repository's workflow, security policy and licence."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.stack.parts import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def workflow(path: Path) -> dict[str, Any]:
    read = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in read.items()}  # YAML 1.1's `on`


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def test_a_push_and_a_pull_request_run_what_everyone_runs():
    read = workflow(ROOT / ".github" / "workflows" / "ci.yml")
    assert read["on"].keys() == {"push", "pull_request"}
    assert ".ci/run" in [step.get("run") for step in read["jobs"]["test"]["steps"]]
    program = ROOT / ".ci" / "run"
    assert os.access(program, os.X_OK)
    assert "make test" in program.read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_its_actions_are_pinned(path: Path):
    read = workflow(path)
    assert read["permissions"] == {"contents": "read"}
    for job in read["jobs"].values():
        assert job.get("permissions", {"contents": "read"}) == {"contents": "read"}
        assert job["timeout-minutes"] <= 120
    actions = [step["uses"] for step in steps(path) if "uses" in step]
    for action in actions:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action), action
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_what_a_page_links_to_exists(name: str):
    links = LINK.findall((ROOT / name).read_text())
    assert name == "CONTRIBUTING.md" or links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_security_policy_names_no_address_and_links_to_what_is_protected():
    text = (ROOT / "SECURITY.md").read_text()
    assert "docs/security.md" in LINK.findall(text)
    assert not re.search(r"\S+@\S+|https?://", text)


def test_no_licence_is_claimed_before_one_is_granted():
    granted = [*ROOT.glob("LICEN[CS]E*"), *ROOT.glob("COPYING*")]
    says_none = "No licence is granted yet" in (ROOT / "README.md").read_text()
    assert says_none is not bool(granted)
