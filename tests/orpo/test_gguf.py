"""`python -m orpo.gguf`: its output, read by another library, and what it refuses."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from peft import PeftModel
from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from orpo.gguf import export as gguf
from orpo.gguf import model as gguf_model
from orpo.gguf.model import Type
from orpo.gguf.parity import read_model, read_tokenizer
from orpo.gguf.vocabulary import SPLITS
from orpo.tokens.templates import load_tokenizer
from tests.orpo import tiny_models
from tests.orpo.tiny_run import Bench, checkpoint

SMOLLM2 = Path("var/models/SmolLM2-135M-Instruct")
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, Callable[..., PreTrainedModel]] = {
    "llama": tiny_models.llama,
    "tied": lambda **settings: tiny_models.llama(tie_word_embeddings=True, **settings),
    "wide heads": lambda **settings: tiny_models.llama(head_dim=16, **settings),
    "llama 3": lambda **settings: tiny_models.llama(rope_parameters=LLAMA3_ROPE, **settings),
    "mistral": lambda **settings: tiny_models.mistral(sliding_window=None, **settings),
    "qwen2": tiny_models.qwen2,
    "qwen3": tiny_models.qwen3,
}
TEXTS = [
    "the answer is yes",
    "It's  12345 o'clock,\n\n\nWE'LL see…  naïve 語 \t!",
    "<|im_start|>user\nwhat<|im_end|>\n",
]


def as_made(**settings: Any) -> PreTrainedModel:
    """A llama with initial weights; those of the models above make rounding errors too large."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**{**tiny_models.GROUPED, **settings}))


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def tokenizer(cutting: Any = None) -> PreTrainedTokenizerFast:
    """A copy of the tests' tokenizer that a test can change."""
    made = tiny_models.tokenizer()
    copy = PreTrainedTokenizerFast(
        tokenizer_object=made.backend_tokenizer,
        eos_token=made.eos_token,
        pad_token=made.pad_token,
        chat_template=made.chat_template,
    )
    if cutting is not None:
        copy.backend_tokenizer.pre_tokenizer = cutting
    return copy


def write_model(
    folder: Path,
    make: Callable[..., PreTrainedModel] = tiny_models.llama,
    words: PreTrainedTokenizerFast | None = None,
) -> Path:
    """A model folder; its model has three ids more than its tokenizer."""
    words = words or tokenizer()
    make(vocab_size=len(words) + 3).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(60).reshape(2, 30)
    return model.float()(input_ids=ids).logits


@pytest.mark.parametrize("family", MODELS)
def test_another_reader_computes_the_same_from_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str
) -> None:
    folder = write_model(tmp_path / "model", MODELS[family])
    out = tmp_path / "model.gguf"
    assert gguf.main(folder, out, Type.F32) == 0
    said = last_json(capsys)
    assert (said["path"], said["size_bytes"]) == (str(out), out.stat().st_size)
    assert said["parity"]["token_ids_equal"] is True
    assert said["parity"]["max_logprob_diff"] < 1e-4
    assert said["parity"]["tokens_compared"] == 32
    expected = logits(AutoModelForCausalLM.from_pretrained(folder))
    assert torch.allclose(logits(read_model(out)), expected, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["model", "model.gguf"]


@pytest.mark.parametrize(
    ("cutting", "name"),
    [
        (None, "gpt-2"),
        (
            pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            ),
            "smollm",
        ),
        *(
            (
                pre_tokenizers.Sequence(
                    [
                        pre_tokenizers.Split(Regex(words), "isolated"),
                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                    ]
                ),
                name,
            )
            for words, name in SPLITS.items()
        ),
    ],
)
def test_another_reader_tokenises_as_the_model_does(
    tmp_path: Path, cutting: Any, name: str
) -> None:
    folder = write_model(tmp_path / "model", words=tokenizer(cutting))
    out = tmp_path / "model.gguf"
    gguf.export(folder, out, Type.F32)
    field = GGUFReader(out).get_field("tokenizer.ggml.pre")
    assert field is not None
    assert field.contents() == name
    read, own = read_tokenizer(out), load_tokenizer(folder)
    assert read.chat_template == own.chat_template
    assert (read.eos_token_id, read.pad_token_id) == (own.eos_token_id, own.pad_token_id)
    for text in TEXTS:
        assert read(text)["input_ids"] == own(text)["input_ids"], text


def test_a_token_without_an_embedding_is_left_out(tmp_path: Path) -> None:
    words = tokenizer()
    tiny_models.llama(vocab_size=len(words)).save_pretrained(tmp_path / "model")
    words.add_tokens(["<image_soft_token>"], special_tokens=True)
    words.save_pretrained(tmp_path / "model")
    gguf.export(tmp_path / "model", tmp_path / "out.gguf", Type.F32)
    field = GGUFReader(tmp_path / "out.gguf").get_field("tokenizer.ggml.tokens")
    assert field is not None
    assert field.contents() == words.convert_ids_to_tokens(list(range(len(words) - 1)))


def test_a_tuned_adapter_answers_from_the_file_as_it_did_in_training(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(tmp_path / "base", as_made)
    saved = checkpoint(bench.run("run", base=folder, max_steps=4), 4)
    out = tmp_path / "tuned.gguf"
    assert gguf.main(saved, out) == 0
    assert last_json(capsys)["parity"]["token_ids_equal"] is True
    base = AutoModelForCausalLM.from_pretrained(folder)
    expected = logits(PeftModel.from_pretrained(base, str(saved / "adapter")))
    found = logits(read_model(out))
    assert torch.allclose(expected, found, atol=0.02)
    untuned = logits(AutoModelForCausalLM.from_pretrained(folder))
    assert not torch.allclose(untuned, found, atol=0.02)
    (saved / "adapter" / "adapter_config.json").write_text("{}")
    assert gguf.main(saved, tmp_path / "again.gguf") == 6
    assert list(tmp_path.glob("again*")) == []


def test_a_full_fine_tune_is_written_as_it_was_saved(bench: Bench, tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", as_made)
    saved = checkpoint(bench.run("run", base=base, max_steps=2, tuning="full"), 2)
    exact = gguf.export(saved, tmp_path / "tuned.gguf", Type.F32)
    assert exact.max_logprob_diff < 1e-4
    rounded = gguf.export(saved, tmp_path / "tuned.gguf", Type.BF16)
    assert 1e-4 < rounded.max_logprob_diff <= rounded.tolerance


@pytest.mark.parametrize("kind", Type)
def test_matrices_are_stored_as_asked_and_vectors_in_fp32(tmp_path: Path, kind: Type) -> None:
    """Rows of 48 can't be split into blocks of q8_0: such matrices stay f16."""
    folder = write_model(tmp_path / "model", as_made)
    gguf.export(folder, tmp_path / "model.gguf", kind)
    kinds = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["output_norm.weight"] == "F32"
    assert kinds["blk.0.attn_q.weight"] == kinds["token_embd.weight"] == kind.name
    assert kinds["blk.0.ffn_down.weight"] == ("F16" if kind is Type.Q8_0 else kind.name)


def test_only_what_training_began_with_is_begun_with(tmp_path: Path) -> None:
    """llama.cpp must add the tokenizer's BOS only if the chat template contains it."""
    words = tokenizer()
    words.add_special_tokens({"bos_token": "<s>"})
    begin = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", words.bos_token_id)])
    words.backend_tokenizer.post_processor = begin
    assert begins_with_bos(tmp_path / "without", words) is False
    words.chat_template = "{{ bos_token }}" + str(words.chat_template)
    assert begins_with_bos(tmp_path / "with", words) is True


def begins_with_bos(folder: Path, words: PreTrainedTokenizerFast) -> bool:
    write_model(folder, words=words)
    gguf.export(folder, folder / "model.gguf", Type.F32)
    field = GGUFReader(folder / "model.gguf").get_field("tokenizer.ggml.add_bos_token")
    assert field is not None
    return field.contents()


def flip(file: Path) -> None:
    """Overwrite 1,500 bytes of tensor data near the end of the file."""
    size_bytes = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(-3000, os.SEEK_END)
        opened.write(random.Random(0).randbytes(1500))
    assert file.stat().st_size == size_bytes


def respell(file: Path) -> None:
    """Swap two letters in the list of tokens."""
    content = file.read_bytes()
    length = (1).to_bytes(8, "little")
    at, other = content.index(length + b"a"), content.index(length + b"e")
    assert at != other
    swapped = bytearray(content)
    swapped[at + 8], swapped[other + 8] = swapped[other + 8], swapped[at + 8]
    file.write_bytes(swapped)


@pytest.mark.parametrize("spoil", [flip, respell])
def test_a_spoiled_file_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
) -> None:
    def write_spoiled(folder: Path, file: Path, kind: Type) -> None:
        gguf_model.write(folder, file, kind)
        spoil(file)

    folder, out = write_model(tmp_path / "model"), tmp_path / "model.gguf"
    monkeypatch.setattr(gguf, "write", write_spoiled)
    out.write_bytes(b"an earlier file")
    assert gguf.main(folder, out) == 9
    error = last_json(capsys)["error"]
    assert error["code"] == "no_parity"
    assert "does not answer as the model was trained" in error["message"]
    assert out.read_bytes() == b"an earlier file"
    assert not (tmp_path / "model.gguf.tmp").exists()


def test_rows_in_the_order_of_transformers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """llama.cpp orders rows differently for RoPE: a plain copy of a llama gives wrong answers."""
    monkeypatch.setattr(gguf_model, "in_pairs", lambda weight, heads: weight)
    assert gguf.main(write_model(tmp_path / "model"), tmp_path / "model.gguf") == 9
    assert last_json(capsys)["error"]["code"] == "no_parity"
    assert not (tmp_path / "model.gguf").exists()


def sentencepiece() -> PreTrainedTokenizerFast:
    made = tokenizer(pre_tokenizers.Metaspace())
    made.backend_tokenizer.normalizer = normalizers.Replace(" ", "▁")
    return made


@pytest.mark.parametrize(
    ("make", "words", "expected"),
    [
        (lambda **_: tiny_models.gpt2(), None, "only llama, mistral, qwen2, qwen3"),
        (
            lambda **s: tiny_models.llama(
                rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}, **s
            ),
            None,
            "RoPE scaled as `linear`",
        ),
        (lambda **s: tiny_models.mistral(sliding_window=64, **s), None, "`sliding_window` is 64"),
        (lambda **s: tiny_models.llama(attention_bias=True, **s), None, "Biases"),
        (tiny_models.llama, sentencepiece, "only byte-level BPE"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, words: Any, expected: str
) -> None:
    folder = write_model(tmp_path / "model", make, words and words())
    assert gguf.main(folder, tmp_path / "model.gguf") == 8
    error = last_json(capsys)["error"]
    assert error["code"] == "not_exportable"
    assert expected in error["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_adapter_that_cannot_be_written_is_not_merged_first(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = sentencepiece()
    saved = checkpoint(bench.run("run", max_steps=1), 1)
    monkeypatch.setattr(gguf, "load_tokenizer", lambda folder: words)
    monkeypatch.setattr(gguf, "merge", lambda *_: pytest.fail("It was merged."))
    assert gguf.main(saved, bench.folder / "model.gguf") == 8
    assert last_json(capsys)["error"]["code"] == "not_exportable"


@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM2.is_dir(), reason="the demo's base model is not unpacked here")
@pytest.mark.parametrize("kind", [Type.F16, pytest.param(Type.Q8_0, marks=pytest.mark.long)])
def test_the_demos_base_model_is_proven(tmp_path: Path, kind: Type) -> None:
    parity = gguf.export(SMOLLM2, tmp_path / "model.gguf", kind)
    assert parity.token_ids_equal
    assert parity.max_logprob_diff < (1e-4 if kind is Type.F16 else gguf.TOLERANCE[kind])
