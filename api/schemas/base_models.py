"""Models on the wire: OpenAI's object, with what it lacks as extra fields."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from api.schemas.body import Body
from api.schemas.stored import Stored
from api.schemas.text import Text
from models.base_models import BaseModelStatus
from services.files.base_models import MODEL_ID
from services.serving.catalog import Kind, Model, Use

# For the document only: the service checks these, with error messages of its own.
NAME: JsonDict = {"pattern": f"^{MODEL_ID.pattern}$"}
FOLDER: JsonDict = {"pattern": r"^/[^\x00]*$"}
# The bounds belong to the text; they can't be applied to the null beside it.
Name = Annotated[Text, Field(max_length=512)]
Folder = Annotated[Text, Field(max_length=4096)]
Revision = Annotated[Text, Field(max_length=256)]
# Fields of `info` that answers leave out: they are long, and only checks and engines need them.
HIDDEN = ("default_template", "files", "special_tokens")


class RegisterModel(Body):
    """A base to be registered: a folder on the server, a hub's model, a tuned model, or a base with
    an adapter.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [name]} for name in ("id", "path", "hub_id", "from")]
        },
    )

    id: Name | SkipJsonSchema[None] = Field(
        None,
        description="Its name here; by default the folder's or hub's, or that of the tuned model "
        "with other signs than letters and digits as dashes.",
        json_schema_extra=NAME,
    )
    path: Folder | SkipJsonSchema[None] = Field(
        None,
        description="An absolute folder on the server.",
        json_schema_extra=FOLDER,
    )
    tuned: Name | SkipJsonSchema[None] = Field(
        None,
        alias="from",
        description="A tuned model or a checkpoint: a copy of its whole weights becomes a base, "
        "which can be trained further. With `adapter`, it is the adapter's base. Send no `path`, "
        "`hub_id` or `revision` with it.",
    )
    adapter: Folder | SkipJsonSchema[None] = Field(
        None,
        description="A LoRA adapter that was made elsewhere: an absolute folder on the server in "
        "PEFT's format (safetensors). Its sum with the base `from` becomes a base.",
        json_schema_extra=FOLDER,
    )
    hub_id: Name | SkipJsonSchema[None] = Field(
        None,
        description="Its name on the hub; by default `id`.",
        json_schema_extra=NAME,
    )
    revision: Revision | SkipJsonSchema[None] = Field(
        None, description="A branch, tag or commit of the hub's model."
    )


class MergedFrom(Stored, total=False):
    """The tuned model whose whole weights a base is a copy of."""

    model: str
    checkpoint: str
    job: str
    weights_sha256: str


class Folded(Stored, total=False):
    """The base and the adapter that a base is the sum of."""

    model: str
    adapter: str
    sha256: Annotated[str, Field(description="Of the adapter's weights.")]


class ModelInfo(Stored, total=False):
    """What the check of a base's folder found; empty before the check, and for a tuned model."""

    hub_id: str | None
    merged_from: MergedFrom | None
    folded: Folded | None
    architecture: str | None
    parameters: int | None
    dtype: str | None
    vocab_size: int | None
    context_length: Annotated[int | None, Field(description="Tokens, if the model states it.")]
    size_bytes: int | None
    sha256: Annotated[str | None, Field(description="Of the weights.")]
    has_chat_template: bool | None
    remarks: Annotated[
        list[str], Field(description="What is unusual about the folder, in sentences.")
    ]


class ModelObject(BaseModel):
    """A base, a tuned model or a checkpoint; OpenAI's object with extra fields."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    kind: Kind
    parent: str | None = Field(
        description="The base of a tuned model; the model that a base was made from."
    )
    deployed: bool
    use: Use = Field(
        description="chat: it can be deployed and answers. judge: a reward model, which gives "
        "answers a number and can't be deployed."
    )
    status: BaseModelStatus
    error: str | None
    job_id: str | None
    revision: str | None
    promoted: bool | None = Field(
        description="Whether a tuned model has passed all gates of its job; null without gates, "
        "and before they are decided."
    )
    info: ModelInfo

    @classmethod
    def from_record(cls, model: Model) -> "ModelObject":
        fields = {name: value for name, value in vars(model).items() if name != "created_at"}
        fields["info"] = {n: value for n, value in model.info.items() if n not in HIDDEN}
        return cls.model_validate({**fields, "created": int(model.created_at.timestamp())})
