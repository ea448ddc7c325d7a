"""docker-compose.yml as Docker Compose reads it: validated, merged, with all values filled in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cli.stack.parts import ROOT

PROGRAM = Path(sys.executable).with_name("docker-compose")
UID = 10001


def config(*overlays: str, **env: str) -> dict[str, Any]:
    """Return the configuration, without variables from this machine's environment."""
    ours = ("ODDSMITH_", "AWS_", "HF_", "COMPOSE_", "FLASH_", "OTEL_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    files = [argument for name in ("docker-compose.yml", *overlays) for argument in ("-f", name)]
    # Ignore the `.env` of the checkout.
    options = ["--env-file", os.devnull, "--profile", "*", *files, "config", "--format", "json"]
    done = subprocess.run(
        [PROGRAM, *options], cwd=ROOT, env=clean | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    # The output is a Compose file again, in which a dollar sign is doubled.
    return json.loads(done.stdout.replace("$$", "$"))


def services() -> dict[str, dict[str, Any]]:
    return config()["services"]


def seconds(duration: str) -> float:
    """`1m15s` as a number."""
    units = {"h": 3600, "m": 60, "s": 1}
    total, digits = 0.0, ""
    for character in duration:
        if character in units:
            total, digits = total + float(digits) * units[character], ""
        else:
            digits += character
    return total
