"""What a visitor of the repository meets first: its pages and their links."""

import re

import pytest

from cli.stack.parts import ROOT

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


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
