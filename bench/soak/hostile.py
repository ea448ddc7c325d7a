"""Hostile model folders and uploads, each small on disk. Nothing here opens a socket."""

import gzip
import json
import os
import shutil
import struct
from pathlib import Path

ROWS = 2000


def models(folder: Path, sound: Path) -> list[Path]:
    """Make hostile copies of a sound model's folder, and return them."""
    return [
        make(_copy(sound, folder / make.__name__.lstrip("_")))
        for make in (_fifo, _escape, _link, _loop, _huge_header, _overlap)
    ]


def _copy(sound: Path, folder: Path) -> Path:
    shutil.copytree(sound, folder)
    return folder


def _fifo(folder: Path) -> Path:
    """Weights that are a FIFO: opening them blocks, since there is no writer."""
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    return folder


def _escape(folder: Path) -> Path:
    """An index that names weights of another model."""
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "../tiny/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _link(folder: Path) -> Path:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/passwd")
    return folder


def _loop(folder: Path) -> Path:
    """A chat template that never ends."""
    endless = "{% for i in range(10**9) %}{% for j in range(10**9) %}{% endfor %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(endless)
    return folder


def _huge_header(folder: Path) -> Path:
    """Weights whose header claims to be a terabyte long."""
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{")
    return folder


def _overlap(folder: Path) -> Path:
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": tensor, "b": tensor}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(8)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def uploads() -> list[tuple[str, bytes]]:
    """Return files to upload, each with its name."""
    pair = b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n'
    deep = b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    return [
        ("bomb.jsonl.gz", gzip.compress(bytes(50 * 2**20))),
        ("deep.jsonl", deep),
        ("line.jsonl", b'{"prompt": "' + b"a" * 2**20 + b'"}\n'),
        ("nan.jsonl", b'{"prompt": NaN, "chosen": Infinity, "rejected": 1e999}\n'),
        ("bytes.jsonl", bytes(range(256)) * 64),
        ("../../../etc/cron.d/x.jsonl", pair),
        ("rows.jsonl", pair * ROWS),
    ]
