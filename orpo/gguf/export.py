"""`python -m orpo.gguf CHECKPOINT_OR_MODEL_DIR OUT.gguf [--type f16]`: one file for llama.cpp.

An adapter is merged first. The file is kept only if it scores the checkpoint's probe as the trainer
did (`orpo.gguf.parity`). llama.cpp's own converter is a script in its repository, not a package:
the version on PyPI would replace the `gguf` package that transformers needs.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from orpo.contract import manifest, rundir
from orpo.contract.failures import Code, Failure
from orpo.gguf import parity as gguf_parity
from orpo.gguf.model import Type, architecture_of, load_config, write
from orpo.gguf.parity import Parity
from orpo.gguf.vocabulary import pre_tokenizer
from orpo.model.merge import merge
from orpo.process.verbs import answer
from orpo.run import probe
from orpo.tokens.templates import load_tokenizer

# llama.cpp rounds the input of a matrix product to the type of the matrix. Its log-probs of
# SmolLM2-135M differed from the trainer's by 0.003 nats with f16 and by 0.05 with bf16. f16 holds
# every bf16 value except very large ones.
DEFAULT = Type.F16
# In nats, for each single token. Measured on SmolLM2-135M-Instruct: 0 with bf16 and f16, 0.25 with
# q8_0 (0.04 on average); a merged adapter in bf16 adds 0.03 (`merge.to_bf16`).
TOLERANCE = {Type.F32: 0.1, Type.BF16: 0.1, Type.F16: 0.1, Type.Q8_0: 0.5}


def export(source: Path, out: Path, kind: Type) -> Parity:
    """Write a checkpoint or a model folder to `out`, all or nothing; an existing file is replaced.

    Raises Failure(`not_exportable`) for a model that GGUF or this exporter can't express,
    Failure(`no_parity`) if the file's log-probs differ from the trainer's, and Damaged if a
    checkpoint's file has changed.
    """
    if (source / rundir.JUDGE).is_file():
        raise Failure(
            Code.NOT_EXPORTABLE,
            "A reward model gives answers a number and writes no text: llama.cpp can't run it.",
            "Download it as an adapter or merged, for transformers.",
        )
    scratch = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        folder = _whole(source, scratch)
        made = scratch / "model.gguf"
        write(folder, made, kind)
        scored = _scored(source, folder)
        parity = gguf_parity.check(made, load_tokenizer(folder), scored, TOLERANCE[kind])
        made.replace(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return parity


def _whole(source: Path, scratch: Path) -> Path:
    """A folder with whole weights; an adapter is merged. Refuses an unsupported model before it
    merges.
    """
    if not (source / rundir.MANIFEST).is_file():
        return source
    manifest.verify(source)
    adapter = source / rundir.ADAPTER
    if not adapter.is_dir():
        return source / rundir.MODEL
    settings = json.loads((adapter / "adapter_config.json").read_text())
    architecture_of(load_config(Path(settings["base_model_name_or_path"])))
    pre_tokenizer(load_tokenizer(adapter))
    merge(source, scratch / "merged", torch.float32)
    return scratch / "merged"


def _scored(source: Path, folder: Path) -> list[dict[str, Any]]:
    """The prompts with the trainer's log-probs; computed here if no run has written them."""
    written = source / rundir.PROBE
    prompts = json.loads(written.read_text())["prompts"] if written.is_file() else []
    return prompts or probe.of_base(folder)["prompts"]


def main(source: Path, out: Path, kind: Type = DEFAULT) -> int:
    """Export and print `{path, size_bytes, parity}`."""

    def work() -> dict[str, Any]:
        parity = export(source, out, kind)
        return {"path": str(out), "size_bytes": out.stat().st_size, "parity": asdict(parity)}

    return answer(work)
