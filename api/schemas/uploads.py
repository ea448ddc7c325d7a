"""Uploads in parts on the wire: OpenAI's objects, and beside them the parts that have arrived."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from api.schemas.body import Body
from api.schemas.files import ExpiresAfter, FileObject
from api.schemas.text import NO_NUL, Id
from models import File, Upload, UploadPart
from orpo.rows.column_names import FIELDS, MAX_NAME
from services.files import column_names
from services.files.upload_parts import MAX_PARTS

ColumnName = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=NO_NUL)]
ColumnNames = Annotated[
    dict[str, ColumnName],
    Field(
        max_length=len(FIELDS),
        description="Which columns have other names, by field, as in `POST /v1/files`.",
    ),
    AfterValidator(column_names.checked),
]
MD5 = r"^[0-9a-fA-F]{32}$"


class CreateUpload(Body):
    """OpenAI's request for an upload. The content decides how the file is read, not `mime_type`.

    `expires_after` is about the file; an upload expires by itself.
    """

    filename: Annotated[str, Field(min_length=1, max_length=1024, pattern=NO_NUL)]
    purpose: Annotated[
        str, Field(max_length=64, pattern=NO_NUL, description="`fine-tune` or `evals`")
    ]
    bytes: Annotated[int, Field(ge=1, lt=2**53, description="The size of the whole file.")]
    mime_type: Annotated[str, Field(max_length=256, pattern=NO_NUL)]
    expires_after: ExpiresAfter | SkipJsonSchema[None] = None
    columns: ColumnNames | SkipJsonSchema[None] = None


class CompleteUpload(Body):
    """The parts that make up the file, in order; with `md5`, that of the whole file is checked."""

    part_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_PARTS)]
    md5: Annotated[
        str | None,
        Field(pattern=MD5),
        WithJsonSchema({"type": "string", "pattern": MD5}),
    ] = None


class UploadObject(BaseModel):
    """OpenAI's upload. `file` is null until it is completed, and after the file was deleted."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None

    @classmethod
    def from_record(cls, upload: Upload, file: File | None = None) -> "UploadObject":
        return cls(
            id=upload.id,
            bytes=upload.size_bytes,
            created_at=int(upload.created_at.timestamp()),
            expires_at=int(upload.expires_at.timestamp()),
            filename=upload.filename,
            purpose=upload.purpose,
            status=upload.state.value,
            file=FileObject.from_record(file) if file else None,
        )


class UploadPartObject(BaseModel):
    """OpenAI's part, with what a client that resumes needs.

    `retry_of` is the id of an earlier part with the same bytes, if a retry has sent them again: as
    a rule the first answer was lost, and the file holds these bytes once.
    """

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str
    bytes: int
    sha256: str
    retry_of: str | None

    @classmethod
    def from_record(cls, part: UploadPart) -> "UploadPartObject":
        return cls(
            id=part.id,
            created_at=int(part.created_at.timestamp()),
            upload_id=part.upload_id,
            bytes=part.size_bytes,
            sha256=part.sha256,
            retry_of=part.retry_of,
        )
