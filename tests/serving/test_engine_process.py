"""The process of an engine: its environment, its arguments and its socket."""

import json
from pathlib import Path

import pytest

from models import BaseModelRecord
from services.platform.database import transaction


def test_an_engine_knows_no_credentials(serving, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    base = serving.base()
    serving.settle(*serving.deploy(base))
    cache = serving.folder / "cache" / "vllm"
    environment = json.loads((cache / f"{base}.environment.json").read_text())
    assert not {name for name in environment if name.startswith(("ODDSMITH_", "AWS_"))} - {
        "ODDSMITH_TREE"
    }
    assert environment["HF_HUB_OFFLINE"] == "1"
    arguments = json.loads((cache / f"{base}.arguments.json").read_text())
    assert "--host" not in arguments
    socket = Path(arguments[arguments.index("--uds") + 1])
    assert socket.is_socket()
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert arguments[arguments.index("--max-lora-rank") + 1] == "16"


@pytest.mark.parametrize("template", [None, "{{ bos_token }}{{ messages }}"])
def test_a_base_without_a_template_is_served_with_the_one_of_its_trainings(serving, template):
    base = serving.base()
    if template:
        with transaction() as session:
            record = session.get_one(BaseModelRecord, base)
            record.info = record.info | {"default_template": template}
    serving.settle(*serving.deploy(serving.tuned(base)))
    cache = serving.folder / "cache" / "vllm"
    arguments = json.loads((cache / f"{base}.arguments.json").read_text())
    if template:
        path = Path(arguments[arguments.index("--chat-template") + 1])
        assert path.read_text() == template
    else:
        assert "--chat-template" not in arguments
