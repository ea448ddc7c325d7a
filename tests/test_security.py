"""`docs/security.md` names only tests that exist, and each risk has an answer."""

import re

from cli.stack.parts import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| (API|LLM)\d", line)
]


def test_every_test_that_is_named_exists():
    named = NAMED.findall(TEXT)
    assert len(named) > 40
    for path, name in named:
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), (
            name
        )


def test_every_risk_of_both_lists_has_a_test_or_is_open():
    risks = {re.split(r"[ ,]", row[0])[0] for row in ROWS}
    assert risks == {f"API{n}" for n in range(1, 11)} | {f"LLM{n:02}" for n in range(1, 11)}
    for risk, held_by, test in ROWS:
        assert NAMED.search(test) or re.search(r"\bopen\b|^not applicable$", test), risk
        assert held_by or test == "open", risk
