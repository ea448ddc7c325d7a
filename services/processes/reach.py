"""Which paths a verb, a run or an engine reads and writes: all that its sandbox lets it see.

Knows nothing of how it is confined.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from orpo.contract.rundir import SPEC, TOKENS_NOTE
from orpo.contract.spec import RunSpec, read_spec


@dataclass(frozen=True)
class Reach:
    """Absolute paths. A path within another one has its own access."""

    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()


def of_verb(arguments: Sequence[str]) -> Reach:
    """What `python -m orpo.<verb> ARGUMENT...` uses: existing paths are read; the folder of a
    missing path is written. A folder with a spec is a run's.
    """
    paths = [Path(argument) for argument in arguments if argument.startswith("/")]
    if paths and (paths[0] / SPEC).is_file():
        with suppress(ValidationError):  # the verb reports what is wrong with it
            return of_run(read_spec(paths[0]), paths[0])
        return Reach(writes=(paths[0],))
    there = [path for path in paths if path.exists()]
    missing = [path.parent for path in paths if not path.exists()]
    return Reach((*model(*there), *_bases(there)), tuple(missing))


def of_run(spec: RunSpec, run_dir: Path) -> Reach:
    """What the ranks of a run use. They can't change its spec, which is read again later."""
    data = [path for path in (spec.train_path, spec.held_out_path) if path is not None]
    tokens = spec.tokens_path or spec.train_path.parent
    resumed = [spec.resume_from] if spec.resume_from else []
    judges = [spec.reward_path] if spec.reward_path else []
    models = (*model(spec.base_model_path), *judges, *_bases(judges))
    reads = (*models, spec.train_path.parent, *data, *resumed)
    note = spec.train_path.parent / TOKENS_NOTE
    # A link, which a process in a sandbox may have made, could lead anywhere.
    notes = [note] if note.is_file() and not note.is_symlink() else []
    return Reach((*reads, run_dir / SPEC), (run_dir, tokens, *notes))


def model(*folders: Path) -> Iterable[Path]:
    """Models' folders, each with the blobs that it links to where it is a hub cache's snapshot."""
    for folder in folders:
        yield folder
        if folder.parent.name == "snapshots":
            yield folder.parent.parent / "blobs"


def _bases(checkpoints: Iterable[Path]) -> Iterable[Path]:
    """The base models that checkpoints of runs need.

    From the run's spec, not from the adapter's configuration, which the ranks have written.
    """
    for checkpoint in checkpoints:
        with suppress(OSError, ValueError, IndexError, KeyError):
            spec = json.loads((checkpoint.parents[1] / SPEC).read_bytes())
            yield from model(Path(spec["base_model_path"]))
