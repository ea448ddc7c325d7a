"""The files of a model's folder: lists those that are read, checks that they belong to the folder,
and checks that they are unchanged since the folder was registered.

`python -m orpo.base_files DIR` prints their hashes as JSON. Imports no torch. Of the files' content
it knows only the names in the index of the weights.
"""

import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orpo.contract.failures import Code, Failure, is_out_of_memory
from orpo.contract.manifest import kind_of, open_regular, weights_digest
from orpo.process.verbs import answer

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
# How a file begins of which only a pointer was copied.
POINTER = b"version https://git-lfs.github.com/"
IS_POINTER = "it is only a pointer of Git LFS: run `git lfs pull` in its repository"
# What transformers and vLLM read beside the weights.
READ = re.compile(
    r"(config|generation_config|params|hf_quant_config|quantize_config|adapter_config"
    r"|(pre)?processor_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab"
    r"|chat_template|tekken|model\.safetensors\.index)\.json"
    r"|(tokenizer|spiece|sentencepiece\.bpe)\.model|(merges|vocab)\.txt|[\w.-]+\.(tiktoken|jinja)"
    r"|adapter_model\.safetensors|additional_chat_templates/[\w.-]+\.jinja"
)
TEMPLATES = "additional_chat_templates"
MAX_FILES, MAX_SHARDS = 10_000, 5_000
# The largest tokenizer.json of a published model had 33 MB.
MAX_JSON_BYTES = {"tokenizer.json": 128 * 2**20, "vocab.json": 128 * 2**20}
MAX_TEXT_BYTES = 64 * 2**20
# Two writes within one tick of the file system's clock get the same timestamp.
TICK_NS = 20_000_000
HINT = "Copy the whole model folder again, without changes."


def bad_model(message: str, hint: str = HINT) -> Failure:
    """The failure for a model folder that can't be used; a retry does not help."""
    return Failure(Code.BAD_MODEL, message, hint, "base_model")


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn an exception that a model's files cause into Failure(`bad_model`): a retry would raise
    it again. Exceptions that the machine causes (memory, disk, missing folder) pass unchanged.
    """
    try:
        yield
    except (Failure, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of Rust code is not an Exception
        by_machine = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
        if by_machine or is_out_of_memory(error):
            raise
        raise bad_model(f"{what} can't be used: {type(error).__name__}: {error}") from error


def root_of(folder: Path) -> Path:
    """The folder that must contain a model's files: its own, or the repository's in a hub cache.

    huggingface_hub keeps `models--OWNER--NAME/snapshots/COMMIT/FILE` as links into
    `models--OWNER--NAME/blobs`, which hold the files of that repository only.
    """
    folder = Path(os.path.realpath(folder))
    repository = folder.parent.parent
    is_cached = folder.parent.name == "snapshots" and repository.name.startswith("models--")
    return repository if is_cached else folder


def look(folder: Path) -> tuple[dict[str, os.stat_result], list[str]]:
    """The regular files of a model folder by name, and a sentence for each entry that is not a
    regular file or lies outside the folder. Of the subfolders, loaders read only that of additional
    templates.
    """
    root, files, problems = root_of(folder), {}, []
    for name, entry in _entries(folder):
        if len(files) + len(problems) >= MAX_FILES:
            problems.append(f"The folder has more than {MAX_FILES:,} files.")
            break
        real = Path(os.path.realpath(entry.path))
        try:
            found = real.lstat()
        except OSError:
            problems.append(f"{name} is a link to nothing.")
            continue
        if entry.is_symlink() and not real.is_relative_to(root):
            problems.append(f"{name} is a link that leads out of the model's folder.")
        elif stat.S_ISREG(found.st_mode):
            files[name] = found
        elif (
            not stat.S_ISDIR(found.st_mode) or READ.fullmatch(name) or name.endswith(".safetensors")
        ):
            problems.append(f"{name} is {kind_of(found)}, not a regular file.")
    return files, problems


def _entries(folder: Path) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            yield entry.name, entry
            if entry.name == TEMPLATES and entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as templates:
                    yield from ((f"{TEMPLATES}/{each.name}", each) for each in templates)


def read_json(path: Path) -> Any:
    """The content of a JSON file of a model; ValueError where it is too large, not UTF-8, nested
    too deep, or holds NaN or a duplicate name.
    """
    most = MAX_JSON_BYTES.get(path.name, MAX_TEXT_BYTES)
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return parse_json(content)


def parse_json(content: bytes) -> Any:
    """Parse JSON under the rules of `read_json`."""
    if content.startswith(POINTER):
        raise ValueError(IS_POINTER)
    try:
        return json.loads(content, parse_constant=_constant, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("it holds NaN, which is no number")
    return float(name)  # state space models use Infinity as a limit of their time steps


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it holds a name twice")
    return found


def shard_names(folder: Path) -> dict[str, str] | None:
    """The index of the weights: a file's name for each tensor; None where there is no index.

    Raises ValueError if it is not such an index, or names anything except a file of this folder.
    """
    if not (folder / INDEX).is_file():
        return None
    content = read_json(folder / INDEX)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names:
        raise ValueError("it has no weight_map")
    if not isinstance(content.get("metadata"), dict):  # transformers would end with a KeyError
        raise ValueError('it has no metadata; add `"metadata": {}` to it')  # noqa: TRY004  as above
    for name in set(map(repr, names.values())):
        if not re.fullmatch(r"'\w[\w.-]*\.safetensors'", name):
            raise ValueError(f"it names {name[:100]}, which is no safetensors file of this folder")
    if len(set(names.values())) > MAX_SHARDS:
        raise ValueError(f"it names more than {MAX_SHARDS:,} files")
    return names


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights: those of its index, or a single file. They may be
    missing.

    Raises ValueError as `shard_names` does.
    """
    names = shard_names(folder)
    return [folder / name for name in sorted(set(names.values()) if names else {WEIGHTS})]


def facts(folder: Path) -> dict[str, Any]:
    """`{sha256, size_bytes, files}`: the digest and size of the weights, and the sha256 and `stamp`
    of each file that is read. A stamp is None where the file changed too recently to trust it.

    Raises Failure(`bad_model`) if an entry is not a regular file inside the folder.
    """
    found = _own(folder)
    files = {}
    for name in sorted(found):
        before = stamp(found[name])
        young = time.time_ns() - found[name].st_ctime_ns < TICK_NS
        with open_regular(folder / name) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if stamp(os.fstat(file.fileno())) != before:
                raise bad_model(f"{name} changed while it was read.", "Register the folder again.")
        files[name] = {"sha256": digest, "stamp": None if young else before}
    weights = [path.name for path in weight_files(folder)]
    return {
        "sha256": weights_digest({name: files[name] for name in weights}, ""),
        "size_bytes": sum(found[name].st_size for name in weights),
        "files": files,
    }


def stamp(found: os.stat_result) -> list[int]:
    """Metadata that is equal as long as a file is unchanged: only writes by its owner change it,
    and the time of the last change (ctime) can't be set back.
    """
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _own(folder: Path) -> dict[str, os.stat_result]:
    """The files of a model that are read; Failure(`bad_model`) for a stray or missing one."""
    files, problems = look(folder)
    if problems:
        raise bad_model(f"{folder} can't be a model: {problems[0]}")
    try:
        weights = {path.name for path in weight_files(folder)}
    except (OSError, ValueError) as error:
        raise bad_model(f"{INDEX} can't be used: {error}.") from None
    if missing := sorted(weights - files.keys()):
        raise bad_model(f"{folder} lacks {', '.join(missing[:5])}.")
    return {name: found for name, found in files.items() if name in weights or READ.fullmatch(name)}


@contextmanager
def unchanged(folder: Path, sha256: str | None, files: Mapping[str, Any] | None) -> Iterator[None]:
    """Check that a folder is as it was registered, before and after the `with` block.

    `sha256` is the digest of its weights (None: unknown, nothing is checked); `files` comes from
    `facts`, if it was recorded. A file whose stamp is the same is not read again. Raises
    Failure(`base_changed`), or `bad_model` as `facts` does.
    """
    if sha256 is None:
        yield
        return
    before = _own(folder)
    if files is None:
        if facts(folder)["sha256"] != sha256:
            raise _changed(folder, "its weights have changed")
    else:
        _compare(folder, before, files)
    yield
    after = _own(folder)
    for name in before.keys() | after.keys():
        if name not in before or name not in after or stamp(before[name]) != stamp(after[name]):
            raise _changed(folder, f"{name} changed while it was loaded")


def _compare(folder: Path, found: Mapping[str, os.stat_result], files: Mapping[str, Any]) -> None:
    for name in sorted(found.keys() | files.keys()):
        if name not in found:
            raise _changed(folder, f"{name} is missing")
        if name not in files:
            raise _changed(folder, f"{name} is new")
        if stamp(found[name]) == files[name]["stamp"]:
            continue
        with open_regular(folder / name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != files[name]["sha256"]:
                raise _changed(folder, f"{name} has changed")


def _changed(folder: Path, what: str) -> Failure:
    return Failure(
        Code.BASE_CHANGED,
        f"The base model in {folder} has changed since it was registered: {what}.",
        "Restore the old files. Or delete the base model, register the folder again and create "
        "the job again.",
        "base_model",
    )


def main(folder: Path) -> int:
    """Print the facts of a model's folder."""
    return answer(lambda: facts(folder))
