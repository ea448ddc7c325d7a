"""`/v1/models`: bases and tuned models by name. Ids may hold a slash, so they are path parts."""

import re
from pathlib import Path, PurePath
from typing import Annotated
from urllib.parse import quote

from fastapi import Query
from fastapi.responses import FileResponse, Response, StreamingResponse

from api import media, threads
from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, page, whole
from api.routing import Router
from api.schemas.base_models import ModelObject, RegisterModel
from api.schemas.body import DIGITS_ONLY
from api.schemas.deleted import Deleted
from api.schemas.pages import ListPage
from api.schemas.text import Id
from models import BaseModelRecord, Checkpoint
from orpo.contract.methods import is_judge
from services.access.callers import Caller, Scope
from services.backup import archive
from services.files import base_models, hub
from services.platform.database import transaction
from services.platform.errors import Invalid, NotFound
from services.runs import checkpoints
from services.serving import catalog, weights
from services.serving.weights import Format
from services.upkeep import deletions

NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9]+")

router = Router(prefix="/v1/models", tags=["models"])


@router.post(
    "", summary="Register a base model: a folder or a hub id (scope admin), or a tuned model"
)
async def register(caller: Writer, body: RegisterModel) -> ModelObject:
    """Register a base. A folder is checked before the answer. A hub's model is downloaded after it,
    and has the `status` `downloading` until then. With `from`, the whole weights of a tuned model
    are copied, so that a run can start from them: the `status` is `merging` until then. With
    `adapter` (scope admin), a base is merged with an adapter that was made elsewhere. Weights
    must be safetensors, and a model's own code is never run.
    """
    if body.tuned is None or body.adapter is not None:
        caller.require(Scope.ADMIN)
    # Reads a folder's weights or calls a hub: takes seconds, or more if the disk or hub is slow.
    return await threads.run(threads.MAKING, caller.account, check_and_store, caller, body)


def check_and_store(caller: Caller, body: RegisterModel) -> ModelObject:
    """Register a base and return it as it is on the wire."""
    if body.adapter is not None:
        record = from_adapter(caller, body, body.adapter)
    elif body.tuned is not None:
        record = from_tuned(caller, body, body.tuned)
    elif body.path is not None:
        record = from_folder(caller, body)
    else:
        record = from_hub(caller, body)
    with transaction() as session:
        return ModelObject.from_record(catalog.get(session, caller, record.id))


def from_folder(caller: Caller, body: RegisterModel) -> BaseModelRecord:
    """Check a folder on the server and register it."""
    path = body.path or ""
    model_id = base_models.check_id(body.id or PurePath(path).name)
    info = base_models.check_folder(path)
    with transaction() as session:
        return base_models.register(session, caller, model_id, path, info)


def from_adapter(caller: Caller, body: RegisterModel, adapter: str) -> BaseModelRecord:
    """Begin to merge an adapter of a folder on the server with its base."""
    _refuse_beside_from(body)
    if body.tuned is None or body.id is None:
        missing = "from" if body.tuned is None else "id"
        raise Invalid(
            "Send `from`, the id of the adapter's base, and `id`, the name of their sum.",
            param=missing,
        )
    model_id = base_models.check_id(body.id)
    digest = base_models.check_adapter(adapter)
    with transaction() as session:
        return base_models.begin_fold(session, caller, model_id, body.tuned, adapter, digest)


def _refuse_beside_from(body: RegisterModel) -> None:
    for name in ("path", "hub_id", "revision"):
        if getattr(body, name) is not None:
            raise Invalid(f"Send either `from` or `{name}`, not both.", param=name)


def from_tuned(caller: Caller, body: RegisterModel, tuned: str) -> BaseModelRecord:
    """Begin to copy the weights of a tuned model or checkpoint into a base of its own."""
    _refuse_beside_from(body)
    model_id = base_models.check_id(body.id or NOT_OF_A_NAME.sub("-", tuned).strip("-"))
    with transaction() as session:
        try:
            checkpoint, job = checkpoints.resolve(session, caller, tuned)
        except NotFound:
            raise Invalid(
                f"There is no tuned model or checkpoint `{tuned}`. List yours with GET /v1/models.",
                param="from",
                code="model_not_found",
            ) from None
        if is_judge(job.method["type"]):
            raise Invalid(
                f"`{tuned}` is a reward model: it gives answers a number, and can't be trained to "
                "answer.",
                param="from",
            )
        return base_models.begin_merge(session, caller, model_id, tuned, checkpoint)


def from_hub(caller: Caller, body: RegisterModel) -> BaseModelRecord:
    """Pin a hub's model to a commit and begin its download."""
    hub_id = body.hub_id or body.id
    if hub_id is None:
        raise Invalid("Send `path`, a folder on the server, or `id`, a hub's model.", param="id")
    model_id = base_models.check_id(body.id or hub_id)
    commit = hub.resolve(hub_id, body.revision)
    with transaction() as session:
        return base_models.begin_download(session, caller, model_id, hub_id, commit)


@router.get(
    "",
    summary="List bases and tuned models, deployed or not",
    response_model=ListPage[ModelObject],
)
def list_models(
    session: ReaderDep,
    caller: CallerDep,
    after: After = None,
    # OpenAI's client reads one page of models and sends no limit.
    limit: Annotated[int, Query(ge=1, le=10_000), DIGITS_ONLY] = 10_000,
) -> Response:
    """List registered bases and the results of succeeded jobs, the newest first."""
    found = catalog.list_page(session, caller, after=after, limit=limit)
    return page(map(ModelObject.from_record, found), limit)


# It must stand before the route of one model, whose path matches this path, too.
@router.get(
    "/{model_id:path}/download",
    summary="Download a tuned model: a tar stream, or one GGUF file",
    response_class=StreamingResponse,
    responses=media.WEIGHTS,
)
async def download(
    caller: CallerDep,
    model_id: Id,
    format: Format = Format.ADAPTER,  # noqa: A002 - the name of the query's field
) -> Response:
    """Stream the adapter, or weights merged into the base, as a tar; or one GGUF file. Merged
    weights and GGUF files are made at the first request, in minutes, and kept.
    """
    found, checkpoint = await threads.run(
        threads.REQUESTS, caller.account, find_weights, caller, model_id, format
    )
    if found is None:
        found = await threads.run(threads.MAKING, caller.account, weights.find, checkpoint, format)
    name = model_id.replace(":", "-").replace("/", "--")
    if format == Format.GGUF:
        return FileResponse(found, filename=f"{name}.gguf", media_type="application/octet-stream")
    parts = threads.iterate(threads.MOVING, caller.account, archive.stream(found, name))
    headers = {
        "Content-Length": str(archive.size_bytes(found, name)),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.tar",
    }
    return StreamingResponse(parts, media_type="application/x-tar", headers=headers)


def find_weights(caller: Caller, model_id: str, wanted: Format) -> tuple[Path | None, Checkpoint]:
    """Return the weights, or None where they must be made first, and their checkpoint."""
    with transaction() as session:
        checkpoint, _ = catalog.export(session, caller, model_id, format=wanted)
    return weights.find_made(checkpoint, wanted), checkpoint


@router.get("/{model_id:path}", summary="Retrieve a model", response_model=ModelObject)
def retrieve(session: ReaderDep, caller: CallerDep, model_id: Id) -> Response:
    """Return a base, a tuned model, or one checkpoint of a job."""
    return whole(ModelObject.from_record(catalog.get(session, caller, model_id)))


@router.delete(
    "/{model_id:path}",
    summary="Take a base model off the list (scope admin), or delete a tuned one's checkpoint",
)
def delete(session: SessionDep, caller: Writer, model_id: Id) -> Deleted:
    """Delete a model; 409 while a job or a deployment uses it. A registered folder stays."""
    if catalog.get(session, caller, model_id).kind == catalog.Kind.BASE:
        caller.require(Scope.ADMIN)
        base_models.delete(session, caller, model_id)
    else:
        deletions.delete_checkpoint(session, caller, model_id)
    return Deleted(id=model_id, object="model")
