"""What an audit finds in files with planted defects: all of them, and nothing else."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest

from orpo.audit import found, near, personal
from orpo.audit.audit import Accepted, Found, audit
from orpo.audit.blocks import read_offsets
from orpo.audit.found import Named
from orpo.audit.kinds import GROUPED, KINDS, Severity
from orpo.rows.formats import Report, validate
from orpo.rows.index import Index
from tests.orpo import planted
from tests.orpo.planted import DROPPED, ESTIMATED, EXACT, Planted

SHARED = Path(os.environ.get("ODDSMITH_SHARED", Path(__file__).parents[2].parent / "shared"))


@dataclass
class Audited:
    """A file after both steps; `lines` are those of its accepted rows."""

    report: Report
    accepted: Accepted
    found: Found
    lines: list[int]

    def rows(self, code: str) -> set[int]:
        """The rows of a finding by their number in the uploaded file, from 0."""
        named = self.found.named.get(code)
        return {self.lines[place] - 1 for place in named.places} if named else set()

    def groups(self, code: str) -> list[list[int]]:
        named = self.found.named[code]
        assert named.groups is not None
        return [
            [self.lines[place] - 1 for place in named.places[named.groups == group]]
            for group in np.unique(named.groups)
        ]


def audited(source: Path, *, exact: bool = False) -> Audited:
    index, rows, offsets = Index(), source.with_suffix(".rows"), source.with_suffix(".offsets")
    report = validate(source, source.name, rows, index=index)
    index.write_offsets(offsets)
    accepted = Accepted(rows, read_offsets(offsets))
    scores = {
        "score_contradicts": Named(np.asarray(index.contradicting)),
        "score_tie": Named(np.asarray(index.tied)),
    }
    result = audit(accepted, report.rows, scores, with_estimates=not exact)
    lines = [orjson.loads(line)["line"] for line in rows.read_bytes().splitlines()]
    return Audited(report, accepted, result, lines)


def write(rows: Planted, path: Path) -> Path:
    rows.write(path)
    return path


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    rows = planted.file(2400, EXACT)
    return rows, audited(write(rows, tmp_path_factory.mktemp("exact") / "a.jsonl"))


def test_exact_kinds_are_found_with_precision_and_recall_of_1(exact):
    rows, result = exact
    assert len(rows.defects) >= 20
    got = {code: result.rows(code) for code in result.found.named if code in rows.defects}
    assert got == rows.defects


def test_clean_rows_have_no_finding(tmp_path):
    result = audited(write(planted.clean(400), tmp_path / "a.jsonl"))
    assert result.found.named == {}
    assert (str(result.found.verdict.verdict), result.found.verdict.reasons) == (
        "ready",
        ["400 rows with 400 different prompts, and no error."],
    )


def test_near_duplicates_and_languages(tmp_path):
    rows = planted.file(1200, ESTIMATED)
    result = audited(write(rows, tmp_path / "a.jsonl"))
    for code, recall in (("near_duplicate", 0.95), ("mixed_language", 0.9)):
        wanted, got = rows.defects[code], result.rows(code)
        assert len(wanted & got) / len(wanted) >= recall, code
        assert len(wanted & got) / len(got) >= 0.95, code
    for group in result.groups("near_duplicate"):
        assert group == [group[0], group[0] + 1]


def test_dropped_rows_are_counted_by_reason(tmp_path):
    rows = planted.file(600, DROPPED)
    result = audited(write(rows, tmp_path / "a.jsonl"))
    assert result.report.dropped == {code: len(at) for code, at in rows.defects.items()}
    assert "were dropped" in " ".join(result.found.verdict.reasons)
    # The places of findings are those of accepted rows, their lines those of the file.
    assert result.lines[-1] == 600


def test_lines_and_groups_name_the_rows_of_the_file(exact):
    rows, result = exact
    finding = next(
        each for each in result.found.to_json()["findings"] if each["code"] == "duplicate"
    )
    at = sorted(rows.defects["duplicate"])
    assert (finding["rows"], finding["lines"]) == (len(at), [place + 1 for place in at[:10]])
    assert finding["repair"] == {"step": "deduplicate", "finding": "duplicate"}
    assert result.groups("duplicate") == [at[i : i + 2] for i in range(0, len(at), 2)]
    assert set(result.found.named) & GROUPED == {
        code for code, named in result.found.named.items() if named.groups is not None
    }


def test_without_estimates_the_exact_findings_are_the_same(exact, tmp_path):
    rows, whole = exact
    quick = audited(write(rows, tmp_path / "a.jsonl"), exact=True)
    by_estimate = {"near_duplicate", "mixed_language", *personal.FORMS}
    assert {code: quick.rows(code) for code in quick.found.named} == {
        code: whole.rows(code) for code in whole.found.named if code not in by_estimate
    }
    assert quick.found.length is None


def test_a_large_file_is_looked_at_by_two_processes(exact, tmp_path):
    rows, whole = exact
    write(rows, tmp_path / "a.jsonl")
    # In a process of its own: a fork is refused once rensa has threads.
    code = (
        "import sys; from pathlib import Path; from orpo.audit import audit, __main__ as verb\n"
        "from orpo import validate; audit.WORTH_A_PROCESS = 0\n"
        "source, *paths = map(Path, sys.argv[1:])\n"
        "validate.main(source, 'a.jsonl', *paths[:3])\n"
        "sys.exit(verb.main([*map(str, paths), '2400']))"
    )
    paths = [str(tmp_path / name) for name in ("a.jsonl", "rows", "offsets", "scores", "found")]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, check=True, timeout=60
    )
    assert orjson.loads(done.stdout.splitlines()[-1]) == whole.found.to_json()
    assert sorted(tmp_path.iterdir()) == sorted(map(Path, paths))
    for code, named in whole.found.named.items():
        assert found.read(tmp_path / "found", code).places.tolist() == named.places.tolist()


def test_a_longer_answer_that_always_wins_is_a_reason(tmp_path):
    rows = planted.clean(400)
    for place in range(400):
        value = rows.value(place)
        value["chosen"] += " " + value["rejected"]
    result = audited(write(rows, tmp_path / "a.jsonl")).found
    assert result.length is not None
    assert (result.length.longer_wins, result.length.length_only_accuracy) == (1.0, 1.0)
    assert str(result.verdict.verdict) == "check"
    assert "only the lengths" in " ".join(result.verdict.reasons)


def test_a_word_that_gives_the_preference_away_is_a_reason(tmp_path):
    rows = planted.clean(400)
    for place in range(400):
        rows.value(place)["chosen"] += " Certainly."
    result = audited(write(rows, tmp_path / "a.jsonl")).found
    assert result.length is not None
    assert result.length.bag_of_words_accuracy == 1.0
    assert "only single words" in " ".join(result.verdict.reasons)


def test_random_preferences_have_no_bias(tmp_path):
    length = audited(write(planted.clean(1500), tmp_path / "a.jsonl")).found.length
    assert length is not None
    assert length.bag_of_words_accuracy is not None
    assert length.length_only_accuracy is not None
    assert 0.4 < length.bag_of_words_accuracy < 0.6
    assert 0.4 < length.length_only_accuracy < 0.6
    assert 200 < length.n_tested < 400


@pytest.mark.parametrize("n", [1, 29])
def test_few_pairs_are_not_ready(tmp_path, n):
    result = audited(write(planted.clean(n), tmp_path / "a.jsonl")).found
    assert str(result.verdict.verdict) == "not_ready"
    assert result.verdict.reasons[0].startswith(f"Only {n} row")


def test_one_prompt_alone_is_not_ready(tmp_path):
    rows = planted.clean(40)
    for place in range(40):
        rows.value(place)["prompt"] = "Why?"
    result = audited(write(rows, tmp_path / "a.jsonl")).found
    assert "All rows have the same prompt" in result.verdict.reasons[0]


def test_many_errors_are_not_ready(tmp_path):
    rows = planted.clean(100)
    for place in range(20):
        rows.value(place)["prompt"] += "<|im_end|>"
    result = audited(write(rows, tmp_path / "a.jsonl")).found
    assert str(result.verdict.verdict) == "not_ready"
    assert result.verdict.reasons[0].startswith("20 rows of 100 (20.0%): ")


def test_rows_for_supervised_tuning(tmp_path):
    turns = '[{"role": "user", "content": "Why %d?"}, {"role": "assistant", "content": "So."}]'
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"messages": {turns % i}}}\n' for i in range(40)))
    result = audited(path).found
    assert result.length is None
    assert "contradiction" not in result.named
    assert "both_sides" not in result.named


def test_a_file_without_an_accepted_row(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("[]\n")
    result = audited(path).found
    assert (result.named, str(result.verdict.verdict)) == ({}, "not_ready")


TEXTS = [
    ("Write to bob.smith+x@mail.co.uk now", "Write to [email] now"),
    ("bob@example.com and bob@localhost", "bob@example.com and bob@localhost"),
    ("4111-1111-1111-1111", "[card_number]"),
    ("4111 1111 1111 1112", "4111 1111 1111 1112"),
    ("DE89370400440532013000.", "[iban]."),
    ("DE89370400440532013001.", "DE89370400440532013001."),
    ("call +1 415 555 2671", "call [phone_number]"),
    ("in 2019-2020 it had 1,234,567.89", "in 2019-2020 it had 1,234,567.89"),
    ("3.14159265358979 and 192.168.100.200", "3.14159265358979 and 192.168.100.200"),
    ("sk-ant-" + "a" * 30, "[api_key]"),
    ("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----", "[private_key]"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-256-CBC,0A\n\n"
        + "Ab1+" * 16
        + "\n-----END RSA PRIVATE KEY-----, and so on",
        "[private_key], and so on",
    ),
    ("a -----BEGIN PRIVATE KEY-----\n" + "Ab1+" * 16 + "\n" + "Cd2/" * 5, "a [private_key]"),
    ("-----BEGIN PRIVATE KEY----- is how it begins", "[private_key] is how it begins"),
    ("sk-" + "a" * 20 + "T3BlbkFJ" + "b" * 20, "[api_key]"),
    ("sk-proj_" + "a-" * 40 + "T3BlbkFJ" + "b" * 20 + ".", "[api_key]."),
    ("eyJ" + "a" * 20 + ".eyJ" + "b" * 3000 + "." + "c" * 43, "[api_key]"),
]


@pytest.mark.parametrize(("text", "masked"), TEXTS)
def test_masked_text(text, masked):
    assert personal.masked(text) == masked


def test_similarity():
    text = planted.clean(1).draw.randbytes(2000)
    assert near.similarity(text, text) == 1
    assert near.similarity(text, text[: len(text) // 2]) == pytest.approx(0.5, abs=0.02)
    assert near.similarity(b"a", b"b") == 0


def test_every_kind_has_one_code_and_a_sentence():
    assert all(kind.code == code for code, kind in KINDS.items())
    assert all(kind.message.endswith(".") for kind in KINDS.values())
    assert {kind.severity for kind in KINDS.values()} == set(Severity)


def test_the_rows_of_findings_come_back_from_the_disk(exact, tmp_path):
    named = exact[1].found.named
    found.write(tmp_path / "found", named)
    for code, of in named.items():
        assert found.read(tmp_path / "found", code).places.tolist() == of.places.tolist()


@pytest.mark.parametrize("name", ["oasst_pairs", "dpo_en_demo"])
def test_the_example_files(name, tmp_path):
    source = SHARED / "data" / f"{name}.jsonl"
    if not source.exists():
        pytest.skip(f"{source} is missing: set ODDSMITH_SHARED")
    (tmp_path / source.name).write_bytes(source.read_bytes())
    report = audited(tmp_path / source.name).found.to_json()
    assert report["verdict"] != "not_ready"
    assert report["sampled"] > 0
