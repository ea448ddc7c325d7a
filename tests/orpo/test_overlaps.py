"""Prompts that stand in two files: the same ones, nearly equal ones, and those of benchmarks."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo import overlaps as verb
from orpo.audit.overlaps import PAIRS, SHOWN, Other, Prompts, found
from orpo.rows.prompts import prompt_of
from tests.orpo import planted


def write(path: Path, prompts: list[Any]) -> Path:
    """Rows in normal form; a text is the only message, and the first row has the line 11."""
    with path.open("w") as file:
        for line, prompt in enumerate(prompts, start=11):
            turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            row = {"line": line, "prompt": turns, "chosen": [], "rejected": None}
            file.write(json.dumps(row) + "\n")
    return path


def compared(tmp_path: Path, mine: list[Any], *others: list[Any], **options: Any) -> Any:
    paths = [write(tmp_path / f"{at}.jsonl", rows) for at, rows in enumerate(others)]
    given = [Other(Prompts.read(path)) for path in paths]
    return found(write(tmp_path / "mine.jsonl", mine), given, **options)


def texts(n: int, seed: int) -> list[str]:
    rows = planted.clean(n, seed)
    return [rows.value(place)["prompt"] for place in range(n)]


def test_the_same_and_near_prompts_with_their_lines_on_both_sides(tmp_path: Path) -> None:
    mine, other = texts(400, 1), texts(90, 2)
    mine[7] = f"  {other[3].upper()}"
    mine[8] = other[3].replace(" ", "\n")
    mine[20] = other[5].replace("near", "by", 1)
    mine[21] = other[6].replace("What happens next?", "What do you think could happen after it?")
    answer = compared(tmp_path, mine, other)
    assert (answer["rows"], answer["against"][0]["prompts"]) == (400, 90)
    assert answer["same"] == {"rows": 2, "lines": [18, 19]}
    assert answer["near"] == {"rows": 1, "lines": [31]}
    same, near = (answer["against"][0][kind] for kind in ("same", "near"))
    assert (same["rows"], near["rows"]) == (2, 1)
    places = [(pair["line"], pair["against_line"]) for pair in same["pairs"] + near["pairs"]]
    assert places == [(18, 14), (19, 14), (31, 16)]
    assert same["pairs"][0]["prompt"] == mine[7]
    assert (near["pairs"][0]["prompt"], near["pairs"][0]["against_prompt"]) == (mine[20], other[5])
    assert same["pairs"][0]["similarity"] == 1
    assert 0.8 <= near["pairs"][0]["similarity"] < 1


def test_near_prompts_are_found_and_no_others(tmp_path: Path) -> None:
    """Which prompts share four fifths of their text is computed here, pair by pair."""
    other = [f"{a} {b}" for a, b in zip(texts(300, 2), texts(300, 3), strict=True)]
    mine = texts(300, 1)
    for place in range(0, 300, 2):
        words = other[place].split(" ")
        for at in range(3, 3 + 2 * (place % 3), 2):  # up to two words
            words[at] = "another"
        mine[place] = " ".join(["Well,", *words])
    answer = compared(tmp_path, mine, other)
    same = {place + 11 for place in range(300) if _similarity(mine[place], other[place]) == 1}
    near = {place + 11 for place in range(300) if 0.8 <= _similarity(mine[place], other[place]) < 1}
    assert 75 < len(near) < 150
    assert (set(answer["same"]["lines"]), set(answer["near"]["lines"]) - near) == (same, set())
    assert len(answer["near"]["lines"]) >= 0.95 * len(near)


def _similarity(one: str, other: str) -> float:
    pieces = []
    for text in (one, other):
        folded = "".join(text.split()).lower()
        pieces.append({folded[at : at + 8] for at in range(len(folded) - 7)})
    return len(pieces[0] & pieces[1]) / len(pieces[0] | pieces[1])


def test_every_row_of_a_near_prompt_counts(tmp_path: Path) -> None:
    question = texts(1, 3)[0]
    near = question.replace("near", "by", 1)
    answer = compared(tmp_path, ["Else?", near, near.upper(), "Other?"], [question])
    assert answer["near"] == {"rows": 2, "lines": [12, 13]}
    assert answer["same"]["rows"] == 0


def test_several_files_and_what_the_union_counts(tmp_path: Path) -> None:
    question = texts(1, 3)[0]
    near = question.replace("near", "by", 1)
    answer = compared(tmp_path, [question, "Other?", "Third?"], [near, "other?"], [question], ["X"])
    # A row that is the same in one file and near in another is the same.
    assert answer["same"] == {"rows": 2, "lines": [11, 12]}
    assert answer["near"] == {"rows": 0, "lines": []}
    counts = [(each["same"]["rows"], each["near"]["rows"]) for each in answer["against"]]
    assert counts == [(1, 1), (1, 0), (0, 0)]


def test_without_near_prompts(tmp_path: Path) -> None:
    question = texts(1, 3)[0]
    near = question.replace("near", "by", 1)
    answer = compared(tmp_path, [near, "Why?"], [question, "why?"], exact=True)
    assert (answer["same"]["lines"], answer["near"]["rows"]) == ([12], 0)


def test_system_messages_do_not_count_and_earlier_turns_do(tmp_path: Path) -> None:
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}
    earlier = [user, {"role": "assistant", "content": "Because."}, user]
    answer = compared(tmp_path, [[system, user], earlier, [system]], ["Why?"])
    assert (answer["same"]["lines"], answer["near"]["rows"]) == ([11], 0)


def test_only_the_first_pairs_are_shown_cut_and_masked(tmp_path: Path) -> None:
    secret = "Write to jane.doe@kestrel-mail.net. "
    prompts = [f"{place} {secret}{'x' * (2 * SHOWN)}" for place in range(PAIRS + 3)]
    shown = compared(tmp_path, prompts, prompts)["against"][0]["same"]
    assert (shown["rows"], len(shown["pairs"])) == (PAIRS + 3, PAIRS)
    first = shown["pairs"][0]
    assert first["prompt"] == first["against_prompt"]
    assert first["prompt"].startswith("0 Write to [email]. xx")
    assert len(first["prompt"]) == SHOWN + len("…")
    open_ = compared(tmp_path, prompts, prompts, unmask=True)["against"][0]["same"]["pairs"][0]
    assert secret in open_["prompt"]


def test_a_file_without_rows(tmp_path: Path) -> None:
    for mine, other in (([], ["Why?"]), (["Why?"], []), ([], [])):
        answer = compared(tmp_path, mine, other)
        assert (answer["same"]["rows"], answer["near"]["rows"]) == (0, 0)


QUESTION = [{"role": "user", "content": "Why?"}]
ROWS = [
    "Why?",
    {"key": 1, "prompt": "Why?", "instruction_id_list": []},  # IFEval
    {"instruction": "Why?", "output": "Because.", "generator": "x"},  # AlpacaEval
    {"instruction": "Why?", "input": "", "response1": "a"},  # PandaLM
    {"input": "Why?", "output_1": "a", "output_2": "b", "label": 1},  # LLMBar
    {"question_id": 81, "category": "x", "turns": ["Why?", "And then?"]},  # MT-Bench
    {"messages": [*QUESTION, {"role": "assistant", "content": "Because."}]},
    {"input": {"messages": QUESTION}},
    {"conversations": [{"from": "human", "value": "Why?"}]},
    {"prompt": "", "question": "Why?"},
]


@pytest.mark.parametrize("row", ROWS)
def test_the_prompt_of_a_row_that_is_no_pair(row: Any) -> None:
    assert prompt_of(row) == QUESTION


@pytest.mark.parametrize(
    "row", [7, None, [], {}, {"text": "a"}, {"prompt": 7}, {"turns": []}, {"input": {"a": 1}}]
)
def test_rows_without_a_prompt(row: Any) -> None:
    assert prompt_of(row) is None


def test_an_instruction_and_its_input_are_one_prompt() -> None:
    found_turns = prompt_of({"instruction": "Sort.", "input": "b a"})
    assert found_turns == [{"role": "user", "content": "Sort.\nb a"}]


def asked(tmp_path: Path, source: bytes, filename: str, columns: Any = None) -> Path:
    rows = write(tmp_path / "rows.jsonl", ["Why?", "How?"])
    path, request = tmp_path / "source", tmp_path / "request.json"
    path.write_bytes(source)
    given = {"source": str(path), "filename": filename, "columns": columns}
    body = {"rows": str(rows), "against": [given], "unmask": False, "exact": False}
    request.write_text(json.dumps(body))
    return request


def answered(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_file_of_prompts_in_any_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = asked(tmp_path, b"id,ask\n1,why?\n2,Who?\n3,\n", "a.csv", {"prompt": "ask"})
    assert verb.main(request, tmp_path) == 0
    answer = answered(capsys)
    assert answer["same"] == {"rows": 1, "lines": [11]}
    against = answer["against"][0]
    assert (against["prompts"], against["without_prompt"]) == (2, 1)
    assert against["same"]["pairs"][0]["against_line"] == 2


def test_a_file_without_a_prompt_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb.main(asked(tmp_path, b'{"text": "a"}\n{,\n', "a.jsonl"), tmp_path) != 0
    error = answered(capsys)["error"]
    assert (error["code"], error["param"]) == ("bad_data", "against")
    assert "a.jsonl" in error["message"]
