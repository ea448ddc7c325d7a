"""The weights of a model's folder: which files hold them, whether they belong together, and what
lies beside them.

Reads names and headers; imports no torch. `architecture.py` knows which tensors a model needs.
"""

from pathlib import Path
from typing import NamedTuple

from orpo.base import files, headers
from orpo.base.files import ADAPTER, HINT, INDEX, WEIGHTS
from orpo.base.headers import Tensors

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Problem(NamedTuple):
    """Why a folder can't be a base model, and what to do."""

    what: str
    hint: str = HINT


# Files of weights in forms that are not read.
OTHER_FORMS = {
    "*.gguf": Problem(
        "The weights are in a GGUF file, which is made for answering, not for training.",
        "Take the model that it was made of, as safetensors.",
    ),
    "consolidated*.safetensors": Problem(
        "The weights are in Mistral's own form (consolidated.safetensors).",
        f"Take a revision that has {WEIGHTS}, or shards with {INDEX}.",
    ),
}


def problems(folder: Path, index: dict[str, str] | None) -> list[Problem]:
    """What is wrong with the files that hold the weights; `index` comes from `shard_names`."""
    wanted = files.weight_files(folder)
    missing = [path.name for path in wanted if not path.is_file()]
    found = []
    if len(missing) == len(wanted):
        found.append(_none(folder))
    elif missing:
        found.append(Problem(f"{_some(missing)} missing.", "Copy every shard of the model."))
    alone = folder / WEIGHTS
    if index is not None and alone.is_file() and alone not in wanted:
        what = (
            f"{alone.name} lies beside the shards that {INDEX} names: loaders differ in which "
            "they take."
        )
        found.append(Problem(what, "Remove one of the two."))
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more are" if len(names) > 5 else ""
    return ", ".join(names[:5]) + (more or (" are" if len(names) > 1 else " is"))


def _none(folder: Path) -> Problem:
    """Why no file holds weights."""
    if any((folder / name).is_file() for name in ADAPTER):
        return Problem("This is an adapter, not a model.", "Merge it first, or name its base.")
    if any(next(folder.glob(pattern), None) for pattern in PICKLED):
        return Problem(
            "The weights are pickled (.bin or .pt), not safetensors; loading such files can run "
            "any code.",
            "Convert them to safetensors, or take a revision that has them.",
        )
    if (folder / INDEX).is_file():
        what = f"There are no weights: none of the files that {INDEX} names is there."
        return Problem(what, "Copy every shard of the model.")
    for pattern, problem in OTHER_FORMS.items():
        if next(folder.glob(pattern), None):
            return problem
    if next(folder.glob("*.safetensors"), None):
        return Problem("There are no weights.", f"Shards need their index, {INDEX}.")
    return Problem("There are no weights.", f"{WEIGHTS} must lie in the folder.")


def adapter_beside(folder: Path) -> str | None:
    """A remark where an adapter lies beside whole weights: it is never applied to them."""
    beside = [name for name in ADAPTER if (folder / name).is_file()]
    if not beside:
        return None
    verb = "lie" if len(beside) > 1 else "lies"
    return (
        f"{' and '.join(beside)} {verb} beside whole weights. The weights are used alone; the "
        "adapter is not applied. If it is not merged into them yet, merge it first."
    )


def read(folder: Path) -> Tensors:
    """All tensors of the weights, from the files' headers.

    Raises Failure(`bad_model`) for the first problem, and ValueError where a file is damaged or the
    files contradict their index.
    """
    index = files.shard_names(folder)
    for what, hint in problems(folder, index):
        raise files.bad_model(f"{folder} can't be a model: {what}", hint)
    each = ((path.name, headers.read_header(path)) for path in files.weight_files(folder))
    return headers.union(each, index)
