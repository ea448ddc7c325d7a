"""Methods of training on the wire."""

from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, TypeAdapter, WithJsonSchema
from pydantic.fields import FieldInfo

from orpo.contract.hyperparameters import Group, Hyperparameters

Kind = Literal["number", "integer", "flag", "choice", "words", "text"]
# The value of a setting. It was checked when its job was created. An answer has many settings, and
# checking them again would take longer than the rest of the answer.
Value = Annotated[
    Any, WithJsonSchema(TypeAdapter(bool | int | float | str | list[str] | None).json_schema())
]


class SettingObject(BaseModel):
    """A hyperparameter as a form shows it; its bounds stand in the JSON schema."""

    name: str
    kind: Kind = Field(description="flag: a boolean; words: a list of strings; text: one string.")
    choices: list[str] = Field(description="The values of a choice; empty for other kinds.")
    default: Value = Field(
        description="Null where the server decides, as the description says, and where a job must "
        "give a value (the JSON schema then lists it as required)."
    )
    description: str


class SettingGroup(BaseModel):
    """Settings that belong together, those that matter first."""

    name: Group
    settings: list[SettingObject]


class MethodObject(BaseModel):
    """A method of training and all its settings."""

    id: str = Field(description="What stands in `method.type` of a job.")
    object: Literal["fine_tuning.method"] = "fine_tuning.method"
    label: str = Field(description="Its name for people.")
    description: str
    groups: list[SettingGroup] = Field(
        description="All hyperparameters in the order of a form; the first group matters most."
    )
    hyperparameters: dict[str, Any] = Field(
        description="Their JSON schema: each with its default and a sentence."
    )

    @classmethod
    def from_method(cls, name: str, method: type[Hyperparameters]) -> "MethodObject":
        return cls(
            id=name,
            label=method.label or name,
            description=method.__doc__ or "",
            groups=groups_of(method),
            hyperparameters=_schema_of(method),
        )


def _schema_of(method: type[Hyperparameters]) -> dict[str, Any]:
    """The JSON schema of a method, without the settings that mean nothing to it."""
    schema = method.model_json_schema(by_alias=True)
    known = schema["properties"].items()
    schema["properties"] = {n: held for n, held in known if n not in method.unused}
    return schema


def groups_of(method: type[Hyperparameters]) -> list[SettingGroup]:
    """Return the groups of a method that are not empty; the method's own settings come first, and
    those that mean nothing to it are left out.
    """
    hidden = {"type", *method.unused}
    fields = [(n, field) for n, field in method.model_fields.items() if n not in hidden]
    fields.sort(key=lambda each: each[0] in Hyperparameters.model_fields)
    grouped = {group: list[SettingObject]() for group in Group}
    for name, field in fields:
        grouped[_group(field)].append(_setting(field.alias or name, field))
    return [SettingGroup(name=group, settings=found) for group, found in grouped.items() if found]


def _group(field: FieldInfo) -> Group:
    return next((mark for mark in field.metadata if isinstance(mark, Group)), Group.MAIN)


def _setting(name: str, field: FieldInfo) -> SettingObject:
    kind, choices = _kind(field.annotation)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return SettingObject(
        name=name,
        kind=kind,
        choices=choices,
        default=default.value if isinstance(default, StrEnum) else default,
        description=field.description or "",
    )


def _kind(annotation: Any) -> tuple[Kind, list[str]]:
    """The kind of a field and its choices; a field that may be null has the kind of its values."""
    bare = next((part for part in get_args(annotation) if part is not NoneType), annotation)
    if get_origin(annotation) is list:
        return "words", []
    if issubclass(bare, StrEnum):
        return "choice", [choice.value for choice in bare]
    if issubclass(bare, bool):
        return "flag", []
    if issubclass(bare, str):
        return "text", []
    return ("integer" if issubclass(bare, int) else "number"), []
