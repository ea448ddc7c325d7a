"""The typed spec of a training run, as written to `spec.json` in its run directory.

Importable without torch: the API validates with it, the worker writes it, the core reads it.
Knows nothing of files, jobs or devices beyond the values it holds.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, field_validator, model_validator

from orpo.contract.hyperparameters import Strict
from orpo.contract.methods import Method
from orpo.contract.rundir import SPEC

# Increased with each change of what a spec may hold, the methods' hyperparameters included, so that
# a worker of an older release does not take a spec that it can't read (tests/orpo/test_spec.py).
VERSION = 6


class RunSpec(Strict):
    """Everything a training run reads. Paths are absolute and local."""

    version: int = Field(
        default=VERSION, ge=1, description="Version of the contract that wrote it."
    )
    job_id: str = Field(max_length=255)
    generation: int = Field(
        default=1,
        strict=True,
        ge=1,
        lt=2**63,
        description="The fence: raised each time the job is claimed.",
    )
    base_model: str = Field(max_length=512, description="Name shown to people.")
    base_model_path: Path
    base_sha256: str | None = Field(
        default=None,
        max_length=64,
        description="The weights' digest at registration; None is not checked.",
    )
    base_files: dict[str, dict[str, Any]] | None = Field(
        default=None, description="What `orpo.base_files` recorded of each file at registration."
    )
    train_path: Path = Field(description="Accepted rows in their normal form, one JSON a line.")
    held_out_path: Path | None = None
    tokens_path: Path | None = Field(
        default=None,
        description="The token cache of all runs; by default, tokens lie beside this run's rows.",
    )
    method: Method
    reward_path: Path | None = Field(
        default=None,
        description="A committed checkpoint folder of the method's reward model, if it has one.",
    )
    seed: int = Field(default=0, strict=True, ge=0, lt=2**31)
    resume_from: Path | None = Field(
        default=None, description="A committed checkpoint folder, or none."
    )
    threads: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=4096,
        description="CPU threads a rank; by default shared.",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_rendezvous(cls, data: Any) -> Any:
        """Read a spec of version 5 or older: it named the address at which several nodes meet."""
        if isinstance(data, dict):
            return {name: value for name, value in data.items() if name != "rendezvous"}
        return data

    @field_validator("version")
    @classmethod
    def _is_known(cls, version: int) -> int:
        if version > VERSION:
            raise ValueError(
                f"this release reads specs up to version {VERSION}, and this one has version "
                f"{version}; use the release that wrote it"
            )
        return version


_RUN_SPEC = TypeAdapter(RunSpec)


def write_spec(spec: RunSpec, run_dir: Path) -> Path:
    """Write `spec.json` into `run_dir` (made if missing) and return its path."""
    run_dir.mkdir(parents=True, exist_ok=True)
    path = run_dir / SPEC
    path.write_text(spec.model_dump_json(indent=2) + "\n")
    return path


def read_spec(run_dir: Path) -> RunSpec:
    """Read `spec.json` of `run_dir`; raises pydantic's ValidationError naming each bad field."""
    return _RUN_SPEC.validate_json((run_dir / SPEC).read_bytes())
