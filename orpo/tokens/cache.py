"""The token cache: the key is a hash of everything that decides the tokens, so equal runs share
them.

Knows the spec; knows nothing of how tokens are made or written.
"""

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from orpo.contract.hyperparameters import Hyperparameters
from orpo.contract.manifest import open_regular
from orpo.contract.methods import Preference
from orpo.contract.rundir import TOKENS_NOTE
from orpo.contract.spec import RunSpec
from orpo.rows.rows import count_lines

# Increase it when the same rows give other tokens, or the file format changes.
FORMAT = 6
# Suffixes of the files that decide how a model reads text.
TOLD_IN = (".json", ".jinja", ".model", ".txt", ".tiktoken")
UNUSED_S = 30 * 24 * 3600
HALF_MADE_S = 3600  # a process that still writes them does so every few seconds


def folder(spec: RunSpec, method: Hyperparameters) -> Path:
    """The folder of the run's tokens, which may not exist yet; marks them as used by this run."""
    found = _root(spec) / f"tokens-{_key(spec, method)}"
    _note(spec, found.name)
    with suppress(FileNotFoundError):
        os.utime(found)
    return found


def _note(spec: RunSpec, name: str) -> None:
    """Record beside the rows which tokens were made from them, so that both can be deleted."""
    note = spec.train_path.parent / TOKENS_NOTE
    if spec.tokens_path is None or not note.parent.is_dir():
        return
    if not note.exists() or name not in note.read_text().splitlines():
        with note.open("a") as lines:
            lines.write(f"{name}\n")


def prune(spec: RunSpec) -> None:
    """Remove tokens that no new run has used for 30 days, and incomplete ones of a killed run.

    A run that reads them can continue: its open files exist until it ends.
    """
    for half in _root(spec).glob("tokens-*/*.tmp"):
        if _age_s(half) > HALF_MADE_S:
            shutil.rmtree(half, ignore_errors=True)
    for entry in _root(spec).glob("tokens-*"):
        if _age_s(entry) > UNUSED_S:
            with suppress(OSError):  # another process was first
                shutil.rmtree(entry.rename(entry.with_suffix(".old")), ignore_errors=True)


def sha256(path: Path | None) -> bytes:
    """The digest of a file, or nothing if it is missing: reading it later raises the error."""
    if path is None or not path.exists():
        return b""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _root(spec: RunSpec) -> Path:
    return spec.tokens_path or spec.train_path.parent


def _key(spec: RunSpec, method: Hyperparameters) -> str:
    """A hash of everything that decides a run's tokens: settings, rows, the model's files except
    its weights, and the code; the seed only if it splits the rows.
    """
    limits = method.model_dump(
        mode="json",
        include={"max_length", "overlong", "turns", "max_held_out", "special_tokens", "reasoning"},
    )
    split_by: list[float] = []
    if spec.held_out_path is None:
        split_by = [spec.seed, method.held_out_fraction]
    elif count_lines(spec.held_out_path) > method.max_held_out:
        split_by = [spec.seed]
    code = [FORMAT, *(version(name) for name in ("transformers", "tokenizers"))]
    # A reward model's cut answers keep the token that ends them.
    kind = "scores" if method.scores else isinstance(method, Preference)
    decisive = [limits, split_by, kind, code]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    of_model = (path for path in spec.base_model_path.iterdir() if path.suffix in TOLD_IN)
    for path in (spec.train_path, spec.held_out_path, *sorted(of_model)):
        digest.update(sha256(path))
    return digest.hexdigest()[:16]


def _age_s(entry: Path) -> float:
    """Seconds since the last write there; 0 if it no longer exists."""
    try:
        return time.time() - max(path.stat().st_mtime for path in (entry, *entry.iterdir()))
    except OSError:
        return 0
