"""What a request to create a job names must exist and be usable; each check raises Invalid.

Rows stay locked against deletion until the transaction ends.
"""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.orm import Session

from models import BaseModelRecord, File
from models.base_models import BaseModelStatus
from models.files import FileStatus
from services.access.callers import Caller
from services.platform.errors import Invalid

# Statements on tables: classes would cost the session's bookkeeping for rows that are not kept. The
# share locks block a parallel delete between the check and the insert.
BASES, FILES = (cast("Table", record.__table__) for record in (BaseModelRecord, File))
BASE = (
    select(BASES.c.org_id, BASES.c.deleted_at, BASES.c.status, BASES.c.error)
    .where(BASES.c.id == bindparam("id"))
    .with_for_update(read=True)
)
FILE = (
    select(
        FILES.c.org_id,
        FILES.c.deleted_at,
        FILES.c.status,
        FILES.c.status_details,
        FILES.c.sha256,
        FILES.c.purpose,
        FILES.c.report["accepted"].label("accepted"),
        FILES.c.report["shapes"].label("shapes"),
        FILES.c.report["prompts"].label("prompts"),
    )
    .where(FILES.c.id == bindparam("id"))
    .with_for_update(read=True)
)


def check_base(session: Session, caller: Caller, model: str) -> None:
    base = session.execute(BASE, {"id": model}).one_or_none()
    if base is None or base.org_id != caller.org_id or base.deleted_at is not None:
        raise Invalid(
            f"No base model '{model}' is registered: add it with POST /v1/models, or list those "
            "there are with GET /v1/models. To train a tuned model further, first make it a base: "
            "POST /v1/models with `from`.",
            param="model",
            code="model_not_found",
        )
    if base.status != BaseModelStatus.READY:
        raise Invalid(
            f"The base model '{model}' is not ready ({base.status}): "
            f"{base.error or 'wait until it is ready'}.",
            param="model",
        )


def usable_file(session: Session, caller: Caller, file_id: str, param: str) -> Any:
    """Return what `FILE` selects of the caller's file, which has usable rows."""
    file = session.execute(FILE, {"id": file_id}).one_or_none()
    if file is None or file.org_id != caller.org_id or file.deleted_at is not None:
        raise Invalid(
            f"There is no file '{file_id}': upload one with POST /v1/files.",
            param=param,
            code="file_not_found",
        )
    if file.status == FileStatus.UPLOADED:
        raise Invalid(
            f"The file '{file_id}' is still being checked: wait until its status is 'processed'.",
            param=param,
            code="file_not_ready",
        )
    if file.status == FileStatus.ERROR or not file.accepted:
        raise Invalid(
            f"The file '{file_id}' has no usable row: "
            f"{file.status_details or 'none was accepted.'} "
            f"GET /v1/files/{file_id}/report lists what was found.",
            param=param,
            code="file_unusable",
        )
    return file


def check_seed(seed: int | None) -> None:
    if seed is not None and not 0 <= seed < 2**31:
        raise Invalid("A seed lies between 0 and 2147483647.", param="seed")


def check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > 16:
        raise Invalid("metadata may hold at most 16 pairs.", param="metadata")
    for key, value in metadata.items():
        if len(key) > 64 or len(value) > 512:
            raise Invalid(
                "A key of metadata has at most 64 characters, a value at most 512.",
                param=f"metadata.{key[:64]}",
            )
