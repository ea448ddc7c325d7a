"""Folders that look wrong and are not: each is checked and trained as a good model is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, Qwen3_5Config, Qwen3_5ForCausalLM

from orpo.contract.failures import Failure
from orpo.model import check_model
from orpo.model.policy import load_base
from orpo.run import probe
from orpo.tokens import prepare
from tests.orpo import hostile
from tests.orpo.test_bad_input import refused
from tests.orpo.tiny_run import VOCAB, Bench, assert_same, checkpoint, records, write_base

UNKNOWN = "<image_soft_token>"


@pytest.fixture
def folder(bench: Bench) -> Path:
    """A copy of the base in a folder of its own."""
    return Path(shutil.copytree(bench.base, bench.folder / "other" / "model"))


def checked(folder: Path) -> list[str]:
    """The check's remarks on a folder that it accepts."""
    found = check_model.check(folder).to_json()
    assert found["problems"] == []
    assert found["ok"]
    return found["remarks"]


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


# --- an adapter beside whole weights --------------------------------------------------------------


def damaged(folder: Path) -> None:
    """An adapter that can't be read: nothing of it is needed."""
    hostile.adapter(folder)
    (folder / "adapter_config.json").write_text("{")
    (folder / "adapter_model.safetensors").write_bytes(b"")


ADAPTERS: dict[str, Callable[[Path], object]] = {
    "whole": hostile.adapter,
    "its settings alone": lambda f: (
        hostile.adapter(f),
        (f / "adapter_model.safetensors").unlink(),
    ),
    "its weights alone": lambda f: (hostile.adapter(f), (f / "adapter_config.json").unlink()),
    "damaged": damaged,
    "beside shards": lambda f: (hostile.adapter(f), hostile.shards(f)),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_beside_whole_weights_is_not_applied(
    bench: Bench, folder: Path, name: str
) -> None:
    ADAPTERS[name](folder)
    (remark,) = checked(folder)
    assert "The weights are used alone" in remark
    assert all(
        (name in remark) == (folder / name).is_file()
        for name in ("adapter_config.json", "adapter_model.safetensors")
    )
    expected, found = load_base(bench.base, None), load_base(folder, None)
    assert type(found) is type(expected)
    assert (found.name_or_path, found.config.name_or_path) == (str(folder), str(folder))
    assert expected.state_dict().keys() == found.state_dict().keys()
    for key, tensor in expected.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[key]), key


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_run_beside_an_adapter_is_the_run_without_it(
    bench: Bench, folder: Path, tuning: str
) -> None:
    hostile.adapter(folder)
    settings: dict[str, Any] = {"tuning": tuning, "max_steps": 2}
    alone, beside = bench.run("alone", **settings), bench.run("beside", base=folder, **settings)
    assert_same(checkpoint(alone, 2), checkpoint(beside, 2))
    if tuning == "lora":
        made = json.loads((checkpoint(beside, 2) / "adapter" / "adapter_config.json").read_text())
        assert made["base_model_name_or_path"] == str(folder)
    probes = [probe.read(checkpoint(run, 2)) for run in (alone, beside)]
    assert probes[0] == probes[1]


def test_the_probe_of_a_base_leaves_the_adapter_out(
    bench: Bench, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.adapter(folder)
    assert probe.main(bench.base) == 0
    expected = last_json(capsys)
    assert probe.main(folder) == 0
    assert last_json(capsys) == expected


# --- a token that has no embedding ----------------------------------------------------------------


def lengthen(folder: Path, token: str = UNKNOWN, *, special: bool = True) -> Path:
    """Add a token to the tokenizer, but no row to the embeddings."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([token], special_tokens=special)
    assert tokenizer.convert_tokens_to_ids(token) == VOCAB
    tokenizer.save_pretrained(folder)
    return folder


def write_into(bench: Bench, line: int, text: str) -> None:
    """Add text to the chosen answer of a row."""
    rows = [json.loads(each) for each in bench.train_path.read_text().splitlines()]
    rows[line - 1]["chosen"][0]["content"] += text
    bench.train_path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_longer_tokenizer_trains_as_its_shorter_one(
    bench: Bench, folder: Path, tuning: str
) -> None:
    (remark,) = checked(lengthen(folder))
    assert f"The tokenizer has {VOCAB + 1} tokens, the model only {VOCAB}" in remark
    assert UNKNOWN in remark
    settings: dict[str, Any] = {"tuning": tuning, "max_steps": 2}
    runs = bench.run("short", **settings), bench.run("long", base=folder, **settings)
    assert_same(*(checkpoint(run, 2) for run in runs))


@pytest.mark.parametrize(
    ("special", "rule", "code"),
    [
        (True, "refuse", "special_token"),
        (True, "escape", None),  # escaped, the text no longer becomes the token
        (False, "refuse", "unknown_token"),
        (False, "escape", "unknown_token"),
    ],
)
def test_a_row_with_a_token_without_an_embedding_is_dropped_alone(
    bench: Bench,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    special: bool,
    rule: str,
    code: str | None,
) -> None:
    lengthen(folder, special=special)
    write_into(bench, 3, f" {UNKNOWN}")
    settings: dict[str, Any] = {
        "base": folder, "max_held_out": 0, "special_tokens": rule, "max_steps": 1
    }  # fmt: skip
    assert prepare.main(bench.spec("prepared", **settings)) == 0
    found = last_json(capsys)["train"]
    assert found["dropped"] == ({code: 1} if code else {})
    assert found["pairs"] == 20 - len(found["dropped"])
    bench.run("run", **settings)
    if code == "unknown_token":
        said = found["reasons"]["unknown_token"]
        assert said["line"] == 3
        assert f"the token `{UNKNOWN}` ({VOCAB})" in said["message"]
        assert f"0 to {VOCAB - 1}" in said["message"]


@pytest.mark.parametrize("place", ["first", "cut off"])
def test_a_probe_and_samples_never_hold_such_a_token(
    bench: Bench, folder: Path, place: str
) -> None:
    """They render rows again; an id past the embeddings would stop the run with an IndexError."""
    lengthen(folder, special=False)
    for line in (1, 2, 5, 8):
        write_into(bench, line, f"{' words' * 90 if place == 'cut off' else ''} {UNKNOWN}")
    run = bench.run("run", base=folder, max_steps=1, eval_every=1, n_samples=4, max_length=128)
    for prompt in probe.read(checkpoint(run, 1)):
        assert max(prompt.prompt_token_ids + prompt.completion_token_ids) < VOCAB
    started = next(e for e in records(run, "events") if e["type"] == "started")["data"]
    assert started["dropped"]["unknown_token"] >= 1


def test_rows_that_all_hold_such_a_token_name_the_first(bench: Bench, folder: Path) -> None:
    lengthen(folder, special=False)
    for line in range(1, 21):
        write_into(bench, line, UNKNOWN)
    code, param, message = refused(bench.spec("run", base=folder))
    assert (code, param) == ("bad_data", "training_file")
    assert f"The text becomes the token `{UNKNOWN}`" in message


@pytest.mark.parametrize("where", ["template", "end"])
def test_a_token_that_every_row_holds_needs_an_embedding(
    bench: Bench, folder: Path, where: str
) -> None:
    lengthen(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if where == "template":
        tokenizer.chat_template = UNKNOWN + tokenizer.chat_template
    else:
        tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "")
        tokenizer.eos_token = UNKNOWN
    tokenizer.save_pretrained(folder)
    said = check_model.check(folder).to_json()
    assert not said["ok"]
    (problem,) = said["problems"]
    assert "No row can be trained on." in problem["what"]
    assert UNKNOWN in problem["what"]


# --- code of its own that nothing needs -----------------------------------------------------------


def with_own_code(folder: Path) -> Path:
    """Code in the folder that leaves a mark where it is run; returns the mark's place."""
    mark = folder.parent / "ran"
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\nfrom transformers import *\n"
    for name in ("modeling_llama.py", "custom_generate/generate.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    names = {
        "AutoConfig": "LlamaConfig", "AutoModelForCausalLM": "LlamaForCausalLM",
        "AutoTokenizer": "PreTrainedTokenizerFast",
    }  # fmt: skip
    own = {auto: f"modeling_llama.{name}" for auto, name in names.items()}
    hostile.config(auto_map=own)(folder)
    tokenizers = {"AutoTokenizer": [None, own["AutoTokenizer"]]}
    hostile.edit(folder / "tokenizer_config.json", {"auto_map": tokenizers})
    return mark


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_known_type_needs_no_code_of_its_own(
    bench: Bench, folder: Path, capsys: pytest.CaptureFixture[str], tuning: str
) -> None:
    mark = with_own_code(folder)
    assert checked(folder) == []
    settings: dict[str, Any] = {"tuning": tuning, "max_steps": 2}
    runs = bench.run("plain", **settings), bench.run("own", base=folder, **settings)
    assert_same(*(checkpoint(run, 2) for run in runs))
    assert prepare.main(bench.spec("prepared", base=folder)) == 0
    assert probe.main(folder) == 0
    assert not mark.exists()


def test_code_of_its_own_is_refused_where_the_type_is_unknown(bench: Bench, folder: Path) -> None:
    mark = with_own_code(folder)
    hostile.config(model_type="evil")(folder)
    assert "never run" in check_model.check(folder).to_json()["problems"][0]["what"]
    with pytest.raises(Failure, match="never run"):
        load_base(folder, None)
    code, param, _ = refused(bench.spec("run", base=folder))
    assert (code, param) == ("bad_model", "base_model")
    assert not mark.exists()


# --- a text model under the configuration of a larger one -----------------------------------------


def test_the_text_part_of_a_larger_configuration_is_what_is_compared(tmp_path: Path) -> None:
    config = Qwen3_5Config(
        text_config={
            "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "head_dim": 16,
            "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
            "layer_types": ["full_attention"],
        }
    )  # fmt: skip
    text: Any = config.text_config
    base = write_base(tmp_path / "model", model=Qwen3_5ForCausalLM(text))
    larger = config.to_dict() | {"architectures": ["Qwen3_5ForCausalLM"]}
    (base / "config.json").write_text(json.dumps(larger))
    checked(base)
    assert type(load_base(base, None)) is Qwen3_5ForCausalLM
    hostile.weights(base, lambda w: {n: t for n, t in w.items() if "down_proj" not in n})
    (problem,) = check_model.check(base).to_json()["problems"]
    assert "needs: model.layers.0.mlp.down_proj.weight" in problem["what"]
