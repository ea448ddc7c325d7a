"""`--mirror` of `oddsmith jobs create`, and the lines of `jobs show`."""

from typing import Any

import pytest

from cli.commands import integrations
from cli.view.output import CommandError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wandb:runs", {"type": "wandb", "wandb": {"project": "runs"}}),
        ("mlflow", {"type": "mlflow", "mlflow": {}}),
        ("mlflow:a:b", {"type": "mlflow", "mlflow": {"experiment": "a:b"}}),
        ("tensorboard", {"type": "tensorboard"}),
    ],
)
def test_an_option_becomes_an_integration(text: str, expected: dict[str, Any]) -> None:
    assert integrations.integration(text) == expected


@pytest.mark.parametrize("text", ["wandb", "wandb:", "tensorboard:x", "comet:x", ""])
def test_another_option_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="wandb:PROJECT"):
        integrations.integration(text)


def test_a_job_s_mirrors_are_lines() -> None:
    waiting = {"type": "wandb", "status": "waiting", "step": None, "error": "It is away."}
    done = {"type": "mlflow", "status": "done", "step": 9, "error": None}
    assert list(integrations.lines({"integrations": [waiting, done]})) == [
        ("mirror: wandb", "waiting. It is away."),
        ("mirror: mlflow", "done, to step 9"),
    ]
    assert list(integrations.lines({})) == []
