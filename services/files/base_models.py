"""Base models: checked and registered, from a folder or from a hub, and taken off the list again.

Knows nothing of weights: the core's verb `check_model` finds what a folder lacks.
"""

import json
import re
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Deployment, Job
from models.base_models import IN_THE_MAKING, BaseModelStatus
from orpo.contract.failures import Code
from orpo.contract.manifest import open_regular, sha256
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs.states import ENDED
from services.platform import queue
from services.platform.errors import Conflict, Invalid, NotFound, no_such
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.platform.storable import storable
from services.processes.verbs import VerbError, run_verb

PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
MODEL_ID = re.compile(rf"{PART}(/{PART})?")
# Configuration, tokenizer and headers are read within seconds, whatever the model's size; the
# weights are hashed at the rate of a slow disk.
LARGEST_SETTINGS = 2**20
CHECK_S, HASH_S, HASH_BYTES_S = 180, 300, 20_000_000


def check_id(model_id: str) -> str:
    """Return the id if it may name a base model, else raise Invalid."""
    if not MODEL_ID.fullmatch(model_id) or model_id.endswith("/download"):
        raise Invalid(
            "A model's id has letters, digits, dots, dashes and underscores, "
            "and at most one slash: `name` or `owner/name`.",
            param="id",
        )
    return model_id


def check_folder(path: str) -> dict[str, Any]:
    """Return what the core finds in a model's folder, or raise Invalid naming all it lacks.

    Takes seconds and starts a process: call it outside a transaction.
    """
    if not Path(path).is_absolute():
        raise Invalid(f"`{path}` is not absolute. Send the whole path, from `/` on.", param="path")
    if not Path(path).is_dir():
        raise Invalid(f"There is no folder `{path}` on the server.", param="path")
    found = _ask("check_model", path, CHECK_S)
    if not found["ok"]:
        problems = " ".join(f"{problem['what']} {problem['hint']}" for problem in found["problems"])
        raise Invalid(f"`{path}` can't be a base model. {problems}", param="path")
    patience_s = HASH_S + found.get("size_bytes", 0) / HASH_BYTES_S
    hashes = _ask("base_files", path, patience_s)
    if hashes.get("size_bytes") != found.get("size_bytes"):
        raise Invalid(f"`{path}` changed while it was checked. Register it again.", param="path")
    facts = {**found, **hashes}
    return {name: value for name, value in facts.items() if name not in ("ok", "problems")}


def _ask(verb: str, path: str, timeout_s: float) -> dict[str, Any]:
    try:
        return run_verb(verb, path, timeout_s=timeout_s)
    except VerbError as failure:
        message = failure.error["message"]
        raise Invalid(f"`{path}` could not be checked: {message}", param="path") from None


def register(
    session: Session, caller: Caller, model_id: str, path: str, info: dict[str, Any]
) -> BaseModelRecord:
    """Register a folder that was checked. The same folder again is no error."""
    return _put(session, caller, model_id, path=path, info=info, status=BaseModelStatus.READY)


def begin_download(
    session: Session, caller: Caller, model_id: str, hub_id: str, commit: str
) -> BaseModelRecord:
    """Register a commit of a hub's model and wake its download."""
    making = {"status": BaseModelStatus.DOWNLOADING, "info": {"hub_id": hub_id}}
    return _begin(session, caller, model_id, commit[:12], revision=commit, **making)


def begin_merge(
    session: Session, caller: Caller, model_id: str, tuned: str, checkpoint: Checkpoint
) -> BaseModelRecord:
    """Register the whole weights of the model `tuned`, which are this checkpoint's, as a base, and
    wake the work that copies them.

    The files are a copy: the base outlives the checkpoint and its run.
    """
    merged_from = {
        "model": tuned,
        "checkpoint": checkpoint.id,
        "job": checkpoint.job_id,
        "weights_sha256": checkpoint.sha256,
    }
    making = {"status": BaseModelStatus.MERGING, "info": {"merged_from": merged_from}}
    version = checkpoint.id.removeprefix("ftckpt-")[:12]
    return _begin(session, caller, model_id, version, revision=None, **making)


def check_adapter(path: str) -> str:
    """Return the sha256 of a LoRA adapter's weights, or raise Invalid. What is in them is checked
    when they are merged.
    """
    folder = Path(path)
    if not folder.is_absolute() or not folder.is_dir():
        raise Invalid(f"There is no folder `{path}` on the server.", param="adapter")
    try:
        with open_regular(folder / "adapter_config.json") as file:
            settings = json.loads(file.read(LARGEST_SETTINGS))
        digest = sha256(folder / "adapter_model.safetensors")
    except (OSError, ValueError) as error:
        raise Invalid(
            f"`{path}` holds no adapter in PEFT's format: adapter_config.json and "
            f"adapter_model.safetensors must be readable files ({error}).",
            param="adapter",
        ) from None
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise Invalid(f"`{path}` is no LoRA: its `peft_type` must be LORA.", param="adapter")
    return digest


def begin_fold(
    session: Session, caller: Caller, model_id: str, base: str, adapter: str, digest: str
) -> BaseModelRecord:
    """Register a base with an adapter that was made elsewhere, and wake the work that merges them.
    Raises Invalid if the base is not there, and Conflict if it is not ready.
    """
    try:
        record = get(session, caller, base)
    except NotFound:
        raise Invalid(
            f"There is no base model `{base}`. List yours with GET /v1/models.",
            param="from",
            code="model_not_found",
        ) from None
    if record.status != BaseModelStatus.READY:
        raise Conflict(f"The base model `{base}` is {record.status}: wait for it.", param="from")
    folded = {"model": base, "adapter": adapter, "sha256": digest}
    making = {"status": BaseModelStatus.MERGING, "info": {"folded": folded}}
    return _begin(session, caller, model_id, digest[:12], revision=None, **making)


def _begin(
    session: Session, caller: Caller, model_id: str, version: str, **values: Any
) -> BaseModelRecord:
    """Register a base whose folder a worker makes; `version` is 12 hex digits in its name."""
    name = f"{model_id.replace('/', '--')}@{version}"
    path = str((get_settings().var / "models" / name).absolute())
    record = _put(session, caller, model_id, path=path, **values)
    if record.status in IN_THE_MAKING:
        queue.send(session, Task.PREPARE)
    return record


def _put(
    session: Session, caller: Caller, model_id: str, *, path: str, **values: Any
) -> BaseModelRecord:
    """Insert the row, return it if it is there already, or renew one that is deleted or failed."""
    owner = {"org_id": caller.org_id, "api_key_id": caller.api_key_id}
    row = {"path": path, "error": None, "deleted_at": None, **owner, **values}
    fresh = session.execute(
        insert(BaseModelRecord)
        .values(id=model_id, **row)
        .on_conflict_do_nothing()
        .returning(BaseModelRecord.id)
    ).one_or_none()
    record = session.get_one(BaseModelRecord, model_id, with_for_update=True)
    is_live = record.deleted_at is None and record.status != BaseModelStatus.ERROR
    if not fresh and is_live and record.path == path and record.org_id == caller.org_id:
        _renew(record, row["info"])
        return record
    if not fresh and (is_live or record.org_id != caller.org_id):
        raise Conflict(
            f"The id `{model_id}` is taken by another model. Choose another id, "
            f"or delete that one first.",
            param="id",
            code="model_exists",
        )
    for name, value in row.items():
        setattr(record, name, value)
    audit_log.record(session, caller, Action.CREATED, Object.MODEL, model_id, path=path)
    session.flush()
    return record


def _renew(record: BaseModelRecord, info: dict[str, Any]) -> None:
    """Update a folder's facts, such as when its files were written. Raises Conflict if the folder
    holds another model by now: what was trained belongs to the old one.
    """
    if record.status != BaseModelStatus.READY or "files" not in info:
        return
    if _contents(record.info) not in (None, _contents(info)) or record.info.get("sha256") not in (
        None,
        info["sha256"],
    ):
        raise Conflict(
            f"The files of `{record.id}` are not those that were registered. Put the old ones "
            "back, or delete that base model first and register the folder again.",
            param="path",
            code=Code.BASE_CHANGED,
        )
    record.info = {**record.info, **info}


def _contents(info: dict[str, Any]) -> dict[str, str] | None:
    files = info.get("files")
    return files and {name: facts["sha256"] for name, facts in files.items()}


def finish_making(
    session: Session, model_id: str, path: str, *, info: dict[str, Any], failure: str | None
) -> None:
    """Write how a download or a merge ended, unless the model was deleted or registered again
    meanwhile.
    """
    record = session.get_one(BaseModelRecord, model_id, with_for_update=True)
    if record.path == path and record.status in IN_THE_MAKING:
        record.info, record.error = info, storable(failure)
        record.status = BaseModelStatus.ERROR if failure else BaseModelStatus.READY


def get(session: Session, caller: Caller, model_id: str) -> BaseModelRecord:
    """Return the caller's base model, or raise NotFound."""
    record = session.get(BaseModelRecord, model_id)
    if record is None or record.org_id != caller.org_id or record.deleted_at is not None:
        raise no_such("base model", model_id, "model", "GET /v1/models")
    return record


def folder_of(session: Session, caller: Caller, model_id: str) -> Path:
    """The folder of a base model that is ready, or raise NotFound or Conflict."""
    base = get(session, caller, model_id)
    if base.status != BaseModelStatus.READY:
        raise Conflict(f"The base model `{base.id}` is {base.status}.", param="model")
    return Path(base.path)


def delete(session: Session, caller: Caller, model_id: str) -> BaseModelRecord:
    """Take a base off the list. Conflict while a job or a deployment uses it.

    Downloaded files are removed a day later (`upkeep/leftovers.py`); a user's own folder stays.
    """
    get(session, caller, model_id)
    # With this lock, the deletion and the creation of a job on this base wait for each other.
    record = session.get_one(BaseModelRecord, model_id, with_for_update=True)
    job_id = session.scalar(
        select(Job.id).where(Job.base_model == model_id, Job.state.not_in(ENDED)).limit(1)
    )
    served = session.scalar(
        select(Deployment.model)
        .where(Deployment.base_model == model_id, Deployment.desired == "run")
        .limit(1)
    )
    if job_id is not None:
        raise Conflict(
            f"The job `{job_id}` still uses this model. Cancel it, or wait until it has ended.",
            param="model",
            code="model_in_use",
        )
    if served is not None:
        raise Conflict(
            f"`{served}` is deployed on this model. Delete that deployment first.",
            param="model",
            code="model_in_use",
        )
    record.deleted_at = func.clock_timestamp()
    audit_log.record(session, caller, Action.DELETED, Object.MODEL, model_id)
    session.flush()
    return record
