"""Model folders that are wrong on purpose: for each a name, a change to a good folder, and a part
of the expected error message.
"""

import json
import math
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ONE, INDEX = "model.safetensors", "model.safetensors.index.json"
Change = Callable[[Path], object]


def header(folder: Path, change: Callable[[dict[str, Any]], object], more_bytes: int = 0) -> None:
    """Change the header of the weights, but no tensor data."""
    content = (folder / ONE).read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    found = json.loads(content[8 : 8 + size])
    change(found)
    write(folder, json.dumps(found).encode(), content[8 + size :] + bytes(more_bytes))


def write(folder: Path, head: bytes, body: bytes = b"", size: int | None = None) -> None:
    length = struct.pack("<Q", len(head) if size is None else size)
    (folder / ONE).write_bytes(length + head + body)


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    found = load_file(folder / ONE)
    save_file(change(found) or found, folder / ONE, metadata={"format": "pt"})


def prefixed(prefix: str) -> Change:
    return lambda folder: weights(folder, lambda w: {prefix + name: t for name, t in w.items()})


def config(**changes: Any) -> Change:
    return lambda folder: edit(folder / "config.json", changes)


def edit(path: Path, changes: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def shards(folder: Path, *, index: Callable[[dict[str, str]], Any] = dict, twice: bool = False):
    """Split the weights into two files with an index."""
    found = load_file(folder / ONE)
    names = sorted(found)
    (folder / ONE).unlink()
    parts = {"model-1.safetensors": names[:10], "model-2.safetensors": names[9 if twice else 10 :]}
    for file, part in parts.items():
        save_file({name: found[name] for name in part}, folder / file, metadata={"format": "pt"})
    places = {name: file for file, part in parts.items() for name in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index(places) or places}))


def foreign_index(name: str) -> Change:
    """Make the index name a good file of another model for one tensor."""

    def change(folder: Path) -> None:
        other = folder.parent / "other"
        other.mkdir(exist_ok=True)
        (other / ONE).write_bytes((folder / ONE).read_bytes())
        found = load_file(folder / ONE)
        place = name.format(other=other)
        (folder / INDEX).write_text(
            json.dumps({"metadata": {}, "weight_map": dict.fromkeys(found, place)})
        )
        (folder / ONE).unlink()

    return change


def instead(file: str, make: Callable[[Path], object]) -> Change:
    """Replace a file by what `make` creates."""

    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return change


def elsewhere(path: Path) -> None:
    """A link to good weights of another model."""
    other = path.parent.parent / f"other-{path.name}"
    other.write_bytes(b"{}")
    path.symlink_to(other)


def listening(path: Path) -> None:
    """A socket, bound by a short path: such a path can have at most 107 bytes."""
    at = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"/proc/self/fd/{at}/{path.name}")
    os.close(at)


def pointer(path: Path) -> None:
    """What `git clone` leaves of a large file without Git LFS."""
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 99\n")


def stale_index(folder: Path) -> None:
    """An index of shards that were merged into one file."""
    places = dict.fromkeys(load_file(folder / ONE), "model-1.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def links(folder: Path) -> None:
    """Move the files elsewhere, and leave links to them."""
    other = folder.with_name("elsewhere")
    folder.rename(other)
    folder.mkdir()
    for path in other.iterdir():
        (folder / path.name).symlink_to(path)


def device(path: Path) -> None:
    """A link to a device: making a device needs privileges."""
    path.symlink_to("/dev/zero")


def adapter(folder: Path) -> None:
    """An adapter of PEFT next to weights into which it may have been merged."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    settings = LoraConfig(
        r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    get_peft_model(model, settings).save_pretrained(str(folder))


def splitting(expression: str) -> Change:
    cut = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated"}
    return lambda folder: edit(
        folder / "tokenizer.json", {"pre_tokenizer": cut | {"invert": False}}
    )


def special(folder: Path) -> None:
    """A special token that is longer than all special tokens of a real model together."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    token = {"content": "x" * 1_100_000, "special": True, "normalized": False}
    token |= dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    last = max(content["model"]["vocab"].values())
    content["added_tokens"].append({"id": last + 1, **token})
    path.write_text(json.dumps(content))


def nested(path: Path) -> None:
    path.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def many_tokens(path: Path) -> None:
    """A vocabulary file of 200 MiB; it is sparse, so that writing it needs no memory."""
    with path.open("wb") as file:
        file.write(b'{"model":{"vocab":{')
        file.truncate(200 * 2**20)


def first(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the header of the first tensor, the embeddings (258 x 32 in fp32)."""
    return lambda folder: header(folder, lambda h: change(h["model.embed_tokens.weight"]))


def overlap(tensors: dict[str, Any]) -> None:
    norm, other = tensors["model.norm.weight"], tensors["model.layers.0.input_layernorm.weight"]
    norm["data_offsets"] = other["data_offsets"]


def without_one(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name != GONE}


GONE = "model.layers.1.mlp.down_proj.weight"
HUGE = 10**9

# --- special files, and links or names that lead out of the folder ----------------------------
STRAYS: dict[str, tuple[Change, str]] = {
    "a FIFO for weights": (instead(ONE, os.mkfifo), "model.safetensors is a FIFO"),
    "a FIFO for a configuration": (instead("config.json", os.mkfifo), "config.json is a FIFO"),
    "a FIFO for a template": (instead("chat_template.jinja", os.mkfifo), "jinja is a FIFO"),
    "a socket for weights": (instead(ONE, listening), "model.safetensors is a socket"),
    "a device for weights": (instead(ONE, device), "leads out of the model's folder"),
    "a folder for weights": (instead(ONE, Path.mkdir), "model.safetensors is a folder"),
    "a link to another's weights": (instead(ONE, elsewhere), "leads out of the model's folder"),
    "a link to another's tokenizer": (instead("tokenizer.json", elsewhere), "leads out"),
    "a link to nothing": (instead(ONE, lambda p: p.symlink_to("gone")), "a link to nothing"),
    "a link in a circle": (instead(ONE, lambda p: p.symlink_to(ONE)), "is a link to itself"),
    "an index that leads out": (foreign_index(f"../other/{ONE}"), "no safetensors file of this"),
    "an index of absolute names": (foreign_index("{other}/" + ONE), "no safetensors file of this"),
}
# --- files with impossible content -------------------------------------------------------------
FILES: dict[str, tuple[Change, str]] = {
    "overlapping tensors": (lambda f: header(f, overlap), "overlaps the one before it"),
    "a gap": (first(lambda t: t.update(data_offsets=[40, 40 + 258 * 32 * 4])), "damaged"),
    "a negative shape": (first(lambda t: t.update(shape=[-258, -32])), "an impossible shape"),
    "a huge shape": (first(lambda t: t.update(shape=[2**40, 2**40])), "an impossible shape"),
    "another shape": (first(lambda t: t.update(shape=[259, 32])), "do not fit its shape"),
    "a shape of no numbers": (first(lambda t: t.update(shape=[258.0, "32"])), "impossible shape"),
    "negative offsets": (first(lambda t: t.update(data_offsets=[-4, 0])), "do not fit"),
    "an unknown dtype": (first(lambda t: t.update(dtype="F7")), "an unknown dtype, F7"),
    "no offsets": (first(lambda t: t.pop("data_offsets")), "has no dtype, shape and offsets"),
    "a header that is a list": (lambda f: write(f, b"[1, 2]"), "names no tensors"),
    "a huge header": (lambda f: write(f, b"{}", size=2**60), "impossible length"),
    "a header without an end": (lambda f: write(f, b'{"a"'), "model.safetensors is damaged"),
    "a deep header": (lambda f: write(f, b"[" * 10**6), "nested too deep"),
    "a header that is no UTF-8": (lambda f: write(f, b'{"\xff": 1}'), "is damaged"),
    "a tensor twice": (lambda f: write(f, b'{"a": {}, "a": {}}'), "holds a name twice"),
    "cut weights": (lambda f: os.truncate(f / ONE, 9000), "shorter or longer"),
    "bytes at the end": (lambda f: header(f, len, more_bytes=1), "shorter or longer"),
    "a tensor in two shards": (lambda f: shards(f, twice=True), "both hold the tensor"),
    "a shard too few": (lambda f: (shards(f), (f / "model-2.safetensors").unlink()), "missing"),
    "an index of another model": (
        lambda f: shards(f, index=lambda m: m | {"x": "model-1.safetensors"}),
        "the tensor x is in none of its files",
    ),
    "an index of numbers": (lambda f: shards(f, index=lambda m: m | {"x": 1}), "it names 1"),
    "an index that is a list": (instead(INDEX, lambda p: p.write_text("[]")), "no weight_map"),
    "shards and a whole": (
        lambda f: (old := (f / ONE).read_bytes(), shards(f), (f / ONE).write_bytes(old)),
        "lies beside the shards",
    ),
    "pickled weights": (
        lambda f: (f / ONE).rename(f / "pytorch_model.bin"), "can run any code"
    ),
    "a pointer for weights": (instead(ONE, pointer), "only a pointer of Git LFS"),
    "weights in GGUF": (
        lambda f: (f / ONE).rename(f / "model-q4.gguf"), "made for answering, not for training"
    ),
    "Mistral's own form alone": (
        lambda f: (f / ONE).rename(f / "consolidated.safetensors"), "in Mistral's own form"
    ),
    "an index beside a whole file": (stale_index, "lies beside the shards"),
    "links to the files of another folder": (links, "leads out of the model's folder"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "an adapter alone": (
        lambda f: (adapter(f), (f / ONE).unlink(), (f / "config.json").unlink()),
        "an adapter, not a model",
    ),
    "an adapter and a configuration": (
        lambda f: (adapter(f), (f / ONE).unlink()), "an adapter, not a model"
    ),
    "an index without metadata": (
        lambda f: (shards(f), (index := f / INDEX).write_text(
            json.dumps({"weight_map": json.loads(index.read_text())["weight_map"]})
        )),
        "it has no metadata; add",
    ),
    "an index without shards": (
        lambda f: (shards(f), [path.unlink() for path in f.glob("model-*")]),
        f"none of the files that {INDEX} names",
    ),
    "an index that lacks a tensor": (
        lambda f: shards(f, index=lambda m: m.pop(GONE) and None),
        f"{GONE} is in model-2.safetensors; the index says nowhere",
    ),
    "an index that swaps two shards": (
        lambda f: shards(f, index=lambda m: m | {GONE: "model-1.safetensors"}),
        f"{GONE} is in model-2.safetensors; the index says in model-1.safetensors",
    ),
}  # fmt: skip
# --- files of another model --------------------------------------------------------------------
OTHERS: dict[str, tuple[Change, str]] = {
    "a tensor gone": (lambda f: weights(f, without_one), f"needs: {GONE}"),
    "a layer's tensors gone": (
        lambda f: weights(f, lambda w: {n: t for n, t in w.items() if "layers.1." not in n}),
        (
            "needs: model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight, "
            "model.layers.1.mlp.gate_proj.weight and 6 more"
        ),
    ),
    "a head gone": (config(tie_word_embeddings=False), "needs: lm_head.weight"),
    "one compiled layer": (
        lambda f: weights(
            f, lambda w: {n.replace("layers.1.", "layers.1._orig_mod."): t for n, t in w.items()}
        ),
        (
            "Tensors (9) were saved inside a wrapper (`_orig_mod`): "
            "model.layers.1._orig_mod.input_layernorm.weight, "
        ),
    ),
    "compiled in parallel": (
        prefixed("module._orig_mod."), "Tensors (20) were saved inside a wrapper (`module.`)"
    ),
    "an unknown prefix": (prefixed("policy."), "The weights lack tensors that LlamaForCausalLM"),
    "compiled": (prefixed("_orig_mod."), "saved inside a wrapper (`_orig_mod.`)"),
    "in parallel": (prefixed("module."), "saved inside a wrapper (`module.`)"),
    "in PEFT": (prefixed("base_model.model."), "saved inside a wrapper (`base_model.model.`)"),
    "a layer too few": (config(num_hidden_layers=1), "does not have according to config.json"),
    "a layer too many": (config(num_hidden_layers=3), "The weights lack"),
    "a smaller vocabulary": (config(vocab_size=300), "embed_tokens.weight is [258, 32]"),
    "a wider state": (config(hidden_size=64), "do not fit config.json"),
    "a further tensor": (
        lambda f: weights(f, lambda w: w | {"v_head.weight": torch.zeros(1, 32)}),
        "does not have according to config.json: v_head.weight",
    ),
}  # fmt: skip
# --- weights that no trainer can change ----------------------------------------------------------
QUANTISED: dict[str, tuple[Change, str]] = {
    **{
        method: (
            config(quantization_config={"quant_method": method, "bits": 4}),
            f"quantised (quantization_config in config.json: {method})",
        )
        for method in ("gptq", "awq", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors")
    },
    "an unnamed method": (config(quantization_config={"bits": 4}), "of an unnamed method"),
    "no method": (config(quantization_config={}), "of an unnamed method"),
    "a text part": (
        config(text_config={"quantization_config": {"quant_method": "gptq"}}), "gptq"
    ),
    "whole numbers alone": (
        lambda f: weights(f, lambda w: w | {GONE: w[GONE].to(torch.int8)}),
        f"stored in a type that can't be trained: {GONE} (I8)",
    ),
    "fp8 without its scales": (
        lambda f: weights(f, lambda w: w | {GONE: w[GONE].to(torch.float8_e4m3fn)}),
        f"{GONE} (F8_E4M3)",
    ),
}  # fmt: skip
# --- files that crash or hang their reader -----------------------------------------------------
BOMBS: dict[str, tuple[Change, str]] = {
    "a billion layers": (config(num_hidden_layers=HUGE), "num_hidden_layers is 1000000000"),
    "a billion labels": (config(num_labels=HUGE), "num_labels is 1000000000"),
    "a billion heads": (config(num_attention_heads=HUGE), "num_attention_heads is 1000000000"),
    "a billion wide": (config(hidden_size=HUGE), "config.json"),
    "a billion positions": (config(vocab_size=10**15), "config.json"),
    "a huge number": (config(hidden_size=10**40), "hidden_size is a huge number"),
    "a number of 10,000 digits": (
        lambda f: (f / "config.json").write_text('{"vocab_size": ' + "9" * 10_000 + "}"), "config"
    ),
    "NaN": (config(rms_norm_eps=math.nan), "it holds NaN"),
    "an infinite width": (config(hidden_size=math.inf), "config.json"),
    "words for numbers": (config(num_attention_heads="many"), "config.json"),
    "a deep configuration": (instead("config.json", nested), "nested too deep"),
    "a deep tokenizer": (instead("tokenizer.json", nested), "tokenizer.json: it is nested too"),
    "a pointer for a tokenizer": (instead("tokenizer.json", pointer), "only a pointer of Git LFS"),
    "a configuration of /dev/zero": (instead("config.json", device), "leads out of the"),
    "a configuration that is no UTF-8": (
        instead("config.json", lambda p: p.write_bytes(b"\xff\xfe{}")), "config.json can't be read"
    ),
    "a configuration that is a list": (
        instead("config.json", lambda p: p.write_text("[]")), "it is no JSON object"
    ),
    "code of its own": (
        config(auto_map={"AutoModel": "evil.Model"}, model_type="evil"),
        (
            "code of its own (auto_map in config.json), which is never run: transformers knows no "
            "model_type `evil`"
        ),
    ),
    "code of its own, of no type": (
        config(auto_map={"AutoModel": "evil.Model"}, model_type=None), "code of its own"
    ),
    "code of its own, of many types": (
        config(auto_map={"AutoModel": "evil.Model"}, model_type=["llama"]), "code of its own"
    ),
    "10 million tokens": (instead("tokenizer.json", many_tokens), "more than 134,217,728 bytes"),
    "a special token without an end": (special, "have more than 1,000,000 characters"),
    "an expression without an end": (splitting("(a+)+$"), "retry-limit-in-match"),
    "an expression of another kind": (splitting("(a|aa)+$"), "retry-limit-in-match"),
    "half an expression": (splitting("(("), "The tokenizer can't be read"),
}  # fmt: skip
KINDS = {
    "strays": STRAYS, "files": FILES, "others": OTHERS, "quantised": QUANTISED, "bombs": BOMBS
}  # fmt: skip
