"""An invalid spec raises a ValidationError that names the field, and no other error."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orpo.contract.methods import METHODS, parse_method
from orpo.contract.spec import VERSION, RunSpec


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tuning", []),
        ("tuning", {"lora": 1}),
        ("tuning", 3),
        ("tuning", "half"),
        ("lora_alpha", float("inf")),
        ("max_grad_norm", float("inf")),
        ("weight_decay", float("nan")),
    ],
)
def test_what_no_field_can_hold_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        parse_method("orpo", {field: value})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({}, 2e-4),
        ({"tuning": "qlora"}, 2e-4),
        ({"tuning": "full"}, 8e-6),
        ({"tuning": "full", "learning_rate": 1e-5}, 1e-5),
    ],
)
def test_the_rate_follows_the_tuning_unless_given(given: dict[str, Any], rate: float) -> None:
    assert parse_method("orpo", given).learning_rate == rate


@pytest.mark.parametrize("strategy", ["fsdp2", "zero2", "zero3"])
@pytest.mark.parametrize("optimizer", ["adamw_8bit", "adafactor"])
def test_an_optimizer_that_can_not_be_cut_up_is_refused(strategy: str, optimizer: str) -> None:
    sentence = f"optimizer '{optimizer}' does not go with strategy '{strategy}'"
    with pytest.raises(ValidationError, match=sentence):
        parse_method("orpo", {"strategy": strategy, "processes": 2, "optimizer": optimizer})
    parse_method("orpo", {"strategy": "ddp", "processes": 2, "optimizer": optimizer})


@pytest.mark.parametrize(("field", "value"), [("use_dora", True), ("modules_to_save", ["lm_head"])])
def test_what_belongs_to_an_adapter_needs_one(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=f"{field} belongs to an adapter"):
        parse_method("orpo", {"tuning": "full", field: value})


@pytest.mark.parametrize(
    ("names", "place"), [(["x" * 201], ("modules_to_save", 0)), (["x"] * 101, ("modules_to_save",))]
)
def test_names_of_modules_are_few_and_short(names: list[str], place: tuple[str | int]) -> None:
    with pytest.raises(ValidationError) as refused:
        parse_method("orpo", {"modules_to_save": names})
    assert [error["loc"] for error in refused.value.errors()] == [place]
    longest = ["x" * 200] * 100
    assert parse_method("orpo", {"modules_to_save": longest}).modules_to_save == longest


def test_what_is_offloaded_must_be_there() -> None:
    with pytest.raises(ValidationError, match="activation_offload moves what gradient_checkpoint"):
        parse_method("orpo", {"activation_offload": True})


def test_a_spec_of_a_newer_release_is_refused_with_both_versions() -> None:
    known = json.loads((EXAMPLES / f"{VERSION}.json").read_text())["specs"][0]
    newer = known | {"version": VERSION + 1, "what_is_new": 1}
    with pytest.raises(ValidationError) as refused:
        RunSpec.model_validate(newer)
    first = refused.value.errors()[0]
    assert first["loc"] == ("version",)
    assert f"up to version {VERSION}, and this one has version {VERSION + 1}" in first["msg"]


EXAMPLES = Path(__file__).parent / "specs"


def shape(schema: Any) -> Any:
    """A JSON schema without titles, descriptions and examples."""
    if isinstance(schema, dict):
        words = ("title", "description", "examples")
        return {key: shape(value) for key, value in schema.items() if key not in words}
    return [shape(value) for value in schema] if isinstance(schema, list) else schema


def test_what_a_spec_may_hold_has_a_version() -> None:
    """If this fails: raise `spec.VERSION`, and run this file as a program to store the new shape.

    Workers of an older release then don't claim new jobs. The examples of all versions must still
    be readable: they represent jobs that were queued before an upgrade.
    """
    noted = json.loads((EXAMPLES / f"{VERSION}.json").read_text())
    assert shape(RunSpec.model_json_schema()) == noted["schema"]


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_specs_of_older_releases_are_read(version: int) -> None:
    for spec in json.loads((EXAMPLES / f"{version}.json").read_text())["specs"]:
        RunSpec.model_validate(spec)


def note() -> None:
    """Store the shape of this version, with a spec of each method as it is written now."""
    specs = [
        RunSpec(
            job_id="ftjob-1",
            base_model="base",
            base_model_path=Path("/base"),
            train_path=Path("/train.jsonl"),
            method=parse_method(name, {"reward_model": "judge"} if name in ("ppo", "rloo") else {}),
        ).model_dump(mode="json")
        for name in METHODS
    ]
    noted = {"schema": shape(RunSpec.model_json_schema()), "specs": specs}
    EXAMPLES.mkdir(exist_ok=True)
    (EXAMPLES / f"{VERSION}.json").write_text(json.dumps(noted, sort_keys=True) + "\n")


if __name__ == "__main__":
    note()
