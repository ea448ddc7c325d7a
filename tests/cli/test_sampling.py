"""Each setting of sampling that the API takes is an option of the commands that sample."""

from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from api.schemas import evaluations as of_evaluations
from api.schemas import judges as of_judges
from cli.commands import chat, evaluate, judges


def options(app: Any, name: str | None = None) -> set[str]:
    """The names of a command's parameters; `name` is that of a command of a group."""
    command: Any = get_command(app)
    command = command.commands[name] if name else command
    return {parameter.name for parameter in command.params}


@pytest.mark.parametrize(
    ("given", "request_of"),
    [
        (options(evaluate.app), of_evaluations.SamplingRequest),
        (options(judges.app, "add"), of_judges.JudgeSampling),
        (options(chat.app), of_evaluations.SamplingRequest),
    ],
    ids=["evaluate", "judges add", "chat"],
)
def test_sampling_has_an_option_for_each_setting(
    given: set[str], request_of: type[BaseModel]
) -> None:
    assert set(request_of.model_fields) <= given
