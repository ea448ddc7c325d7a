"""Versions of files: what a recipe makes of the accepted rows of one or more files.

A version is a file. Its record is there at once; a worker makes its bytes and then validates them
as it validates an upload. Knows records and storage; `orpo.make` applies a recipe, in a process of
its own.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import File
from models.base import new_id
from models.files import FilePurpose, FileStatus
from orpo.audit import recipe as recipes
from orpo.audit.conditions import bad_pattern
from orpo.audit.recipe import Drop, Filter, Map, Split, Step, Swap
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.files import files, judged, quota
from services.files.keys import judged_key, keys_of
from services.platform import queue, storage
from services.platform.errors import Conflict, Invalid, Unavailable
from services.platform.pages import paginate
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.platform.sizes import STORED_BYTES, size_bytes
from services.processes.reach import Reach
from services.processes.verbs import VerbError, run_verb

PREVIEW_S = 60
SUFFIX = ".jsonl"
# The part of a version's report with the rows that each step got, left and changed.
STEPS = "steps"


def create(
    session: Session, caller: Caller, file_id: str, steps: Sequence[Step], filename: str | None
) -> list[File]:
    """Register the version that a recipe makes of a file, two for a split, and wake its making.

    Raises Invalid for a recipe that can't be applied, NotFound for an unknown file of it, and
    Conflict for one that is not validated yet or has no accepted row.
    """
    check(steps)
    parents = _parents(session, caller, file_id, steps, lock=True)
    steps = judged.pinned(session, caller, parents, steps)
    named = [{"id": parent.id, "sha256": parent.sha256} for parent in parents]
    made = []
    for part in recipes.parts(steps):
        record = File(
            id=new_id("file"),
            org_id=caller.org_id,
            api_key_id=caller.api_key_id,
            filename=_name(filename or parents[0].filename, part, is_given=filename is not None),
            purpose=FilePurpose.PAIRS,
            size_bytes=0,
            sha256="",
            storage_key=f"files/{new_id('upload')}",
            recipe=recipes.to_json(part),
            parents=named,
        )
        session.add(record)
        queue.send(session, Task.VALIDATE_FILE, file_id=record.id)
        audit_log.record(
            session, caller, Action.CREATED, Object.FILE, record.id,
            parents=[parent.id for parent in parents],
        )  # fmt: skip
        made.append(record)
    session.flush()
    return made


def check(steps: Sequence[Step]) -> None:
    """Raise Invalid, with the field at fault, for steps that can't be applied to any file."""
    if found := recipes.problem(steps):
        raise Invalid(found[1], param=found[0])
    for at, step in enumerate(steps):
        _check_pattern(at, step)
    if size_bytes(recipes.to_json(steps)) > STORED_BYTES:
        raise Invalid(
            f"The recipe is larger than {STORED_BYTES} bytes. Divide it: make a version, and "
            "another one of that.",
            param="recipe",
        )


def _check_pattern(at: int, step: Step) -> None:
    """Raise Invalid for a regular expression that RE2 can't use."""
    match step:
        case Filter(matches=str(pattern)):
            key, replacement = "matches", None
        case Map(pattern=str(pattern), replacement=str(replacement)):
            key = "pattern"
        case _:
            return
    if why := bad_pattern(pattern, replacement):
        named = recipes.in_words(at, step)
        with_it = "" if replacement is None else f" with the replacement `{replacement:.100}`"
        raise Invalid(
            f"{named}: `{pattern:.100}` is no regular expression of RE2{with_it}: {why}.",
            param=f"recipe.{at}.{key}",
        )


def _parents(
    session: Session, caller: Caller, file_id: str, steps: Sequence[Step], *, lock: bool = False
) -> list[File]:
    """The files whose rows the recipe takes, that of `file_id` first; all have accepted rows."""
    ids = recipes.file_ids(steps, file_id)
    if lock:
        # A deletion waits for this, or the other way round. In the order of ids, so that two of
        # these don't wait for each other.
        for each in sorted(ids):
            session.get(File, each, with_for_update=True)
    return [_parent(session, caller, each, is_own=each == file_id) for each in ids]


def _parent(session: Session, caller: Caller, file_id: str, *, is_own: bool) -> File:
    param = "file_id" if is_own else "recipe.0.files"
    record = files.get_validated(session, caller, file_id, param)
    files.rows_key_of(record, param)
    return record


def _name(filename: str, steps: Sequence[Step], *, is_given: bool) -> str:
    """The file name of a version: the given one, or the parent's with a mark."""
    path = PurePath(files.safe_name(filename))
    # `pairs.jsonl.gz` is `pairs`.
    stem = path.name if is_given and not path.suffix else path.name.partition(".")[0]
    if is_given and path.suffix:
        stem = path.name.removesuffix(SUFFIX)
    if not stem:
        raise Invalid("Send a file name that can be shown.", param="filename")
    last = steps[-1]
    mark = f"-{last.part}" if isinstance(last, Split) else "" if is_given else "-version"
    return f"{stem[: files.MAX_FILENAME - len(mark) - len(SUFFIX)]}{mark}{SUFFIX}"


def children(
    session: Session, caller: Caller, file_id: str, *, after: str | None, limit: int, order: str
) -> Iterator[File]:
    """Yield the versions that were made of a file, and one beyond the limit."""
    parent = files.get(session, caller, file_id)
    query = select(File).where(
        File.org_id == caller.org_id,
        File.deleted_at.is_(None),
        File.parents.contains([{"id": parent.id}]),
    )
    return paginate(session, query, File.created_at, File.id, after=after, limit=limit, order=order)


def find(
    session: Session, caller: Caller, file_id: str, steps: Sequence[Step]
) -> tuple[list[File], list[Step]]:
    """The files whose rows a preview reads, and its steps. Raises as `create` does."""
    check(steps)
    parents = _parents(session, caller, file_id, steps)
    return parents, judged.pinned(session, caller, parents, steps)


def preview(parents: Sequence[File], steps: Sequence[Step]) -> dict[str, Any]:
    """Return what `orpo.audit.preview.preview` returns. Starts a process, which takes seconds: call
    it outside a transaction. Raises Invalid where a step names what the files don't have, and
    Conflict for a file or a deep audit that was deleted meanwhile.
    """
    try:
        with TemporaryDirectory() as folder, _request(Path(folder), parents, steps) as found:
            path, reads = found
            reach = Reach(reads=reads, writes=(Path(folder),))
            return run_verb("make", str(path), timeout_s=PREVIEW_S, reach=reach)
    except VerbError as failure:
        if failure.is_fleeting:
            raise Unavailable(f"The recipe can't be tried: {failure}") from None
        raise Invalid(_sentence(failure), param=failure.error.get("param")) from None
    except FileNotFoundError:
        raise Conflict(
            "A file of the recipe, or a deep audit that it names, was deleted meanwhile. Send the "
            "recipe again without it.",
            param="recipe",
        ) from None


def make(
    parents: Sequence[File],
    steps: Sequence[Step],
    out: Path,
    *,
    timeout_s: float,
    follow: Callable[[Path], None],
) -> dict[str, Any]:
    """Write a version to `out`, and return what `orpo.audit.make.make` returns. `follow` is called
    twice a second with the path of a file that says how far it is.

    Raises VerbError, FileNotFoundError where a parent's rows are gone, and OSError.
    """
    # A folder of its own beside the others' files, so that the process sees none of them.
    with TemporaryDirectory(prefix=f"{out.name}.", dir=out.parent) as folder:
        inside = Path(folder)
        made, progress = inside / "version", inside / "progress.json"
        with _request(inside, parents, steps) as (path, reads):
            done = run_verb(
                "make",
                str(path),
                str(made),
                str(progress),
                timeout_s=timeout_s,
                meanwhile=partial(follow, progress),
                reach=Reach(reads=reads, writes=(inside,)),
            )
        made.replace(out)
    return done


@contextmanager
def _request(
    folder: Path, parents: Sequence[File], steps: Sequence[Step]
) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Yield the path of the verb's request, and the paths that the verb reads."""
    with ExitStack() as stack:
        sources = []
        for parent in parents:
            rows = stack.enter_context(storage.local_copy(str(parent.rows_key)))
            found = stack.enter_context(_found(parent))
            audits = stack.enter_context(_audits(parent, steps))
            sources.append(
                {
                    "file_id": parent.id,
                    "rows": str(rows),
                    "found": found and str(found),
                    "audits": {audit_id: str(path) for audit_id, path in audits.items()},
                }
            )
        request = folder / "request.json"
        limits = {"max_bytes": get_settings().max_upload_bytes}
        body = {"recipe": recipes.to_json(steps), "sources": sources, **limits}
        request.write_text(json.dumps(body))
        paths = [source[key] for source in sources for key in ("rows", "found") if source[key]]
        paths += [path for source in sources for path in source["audits"].values()]
        yield request, (request, *map(Path, paths))


@contextmanager
def _found(parent: File) -> Iterator[Path | None]:
    """Yield the path of the rows of a file's findings; None if there are none."""
    with ExitStack() as stack:
        try:
            path = stack.enter_context(storage.local_copy(keys_of(parent.id).audit))
        except FileNotFoundError:
            path = None
        yield path


@contextmanager
def _audits(parent: File, steps: Sequence[Step]) -> Iterator[dict[str, Path]]:
    """Yield the paths of the rows of findings, of each deep audit of a file that the steps name.

    Raises FileNotFoundError if a deep audit was deleted.
    """
    named = {
        step.audits[parent.id]
        for step in steps
        if isinstance(step, Drop | Swap) and step.audits and parent.id in step.audits
    }
    with ExitStack() as stack:
        yield {
            audit_id: stack.enter_context(storage.local_copy(judged_key(audit_id)))
            for audit_id in sorted(named)
        }


def _sentence(failure: VerbError) -> str:
    """What went wrong and what to do."""
    hint = failure.error.get("hint")
    return f"{failure} {hint}" if hint else str(failure)


def why(failure: VerbError) -> str:
    """The reason that a user reads for a version that a recipe could not make."""
    return f"The version could not be made. {_sentence(failure)}"


def parents_of(session: Session, record: File) -> list[File]:
    """The parents of a version, the one that its recipe is for first."""
    return [session.get_one(File, parent["id"]) for parent in record.parents or ()]


def is_made(record: File) -> bool:
    """Whether a file has its bytes: True for each upload."""
    return record.recipe is None or record.sha256 != ""


def finish_making(session: Session, file_id: str, done: dict[str, Any]) -> None:
    """Write the size and the hash of a version whose bytes are stored, and what each step did.

    Raises TooLarge where the organisation would store more than it may.
    """
    record = session.get(File, file_id, with_for_update=True)
    if record is not None and record.status == FileStatus.UPLOADED and not record.deleted_at:
        quota.refuse_beyond(session, record.org_id, done["size_bytes"], param="recipe")
        record.size_bytes, record.sha256 = done["size_bytes"], done["sha256"]
        record.report = {STEPS: done["steps"]}
