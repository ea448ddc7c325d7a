"""Settings, read once: from the environment (`ODDSMITH_*`), else from secret files.

A secret file bears the setting's whole name, `oddsmith_database_url`, and lies in /run/secrets or
the folder that ODDSMITH_SECRETS names. Knows no defaults of other parts.
"""

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOCAL = ("127.0.0.1", "localhost", "::1")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ODDSMITH_", extra="ignore", frozen=True)

    var: Path = Field(default=Path("var"), description="Where everything that is written lies.")
    database_url: str = Field(default="", description="postgresql+psycopg://user:password@host/db")
    redis_url: str = Field(default="", description="redis://:password@host:port/0")
    storage_url: str = Field(
        default="", description="file:///path or s3://bucket/prefix; uploads lie there."
    )
    runs: Path | None = Field(
        default=None, description="Run directories; shared by train and serve."
    )

    web_dist: Path = Field(
        default=Path(__file__).parents[1] / "web" / "dist", description="The built page."
    )

    train_python: str = Field(default=sys.executable, description="Interpreter that has torch.")
    vllm_python: str = Field(default=sys.executable, description="Interpreter that has vLLM.")

    max_upload_bytes: int = Field(default=8 * 2**30, description="Largest file that is accepted.")
    max_body_bytes: int = Field(default=2**20, description="Largest JSON body.")
    lease_s: float = Field(
        default=30, gt=0, description="A claim that isn't renewed this long is lost."
    )
    heartbeat_s: float = Field(default=3, gt=0, description="How often a worker renews its lease.")
    max_attempts: int = Field(default=3, ge=1, description="Lost claims after which a job fails.")
    retry_delay_s: float = Field(
        default=5,
        ge=0,
        description="Pause before a job that was lost twice is tried again; each further one "
        "doubles it. The first retry comes at once.",
    )
    retry_delay_max_s: float = Field(default=300, ge=0, description="The longest such pause.")
    stall_s: float = Field(
        default=1800,
        gt=0,
        description="A training that has begun and then writes nothing for this long hangs, and "
        "is started again; more than the longest step, evaluation or save.",
    )
    start_s: float = Field(
        default=1800,
        gt=0,
        description="A training that hasn't begun this long after its start hangs, too. What a "
        "slow disk needs for the base model (5 MB/s) is added.",
    )
    drain_s: float = Field(
        default=50, gt=0, description="How long a stopping training may take to save."
    )

    node_address: str | None = Field(
        default=None,
        description="Where other workers reach this machine, for jobs over several nodes; by "
        "default its host name.",
    )

    engine_host: str = Field(
        default="127.0.0.1",
        description="Where the API reaches an engine: on this machine (the default) over a Unix "
        "socket that only our user may use; at another address, which must be of a private "
        "network, over TCP with a key for each engine.",
    )
    engine_secret: str = Field(
        default="",
        description="What the keys of engines are made from, where engine_host is another address; "
        "the API and the serve workers share it.",
    )
    engine_memory_gib: float = Field(default=2, gt=0, description="KV cache of a CPU engine.")
    engine_memory_share: float = Field(
        default=0.45, gt=0, le=1, description="Share of a GPU an engine takes."
    )
    engine_dtype: Literal["float32", "bfloat16"] | None = Field(
        default=None,
        description="What an engine computes in; by default float32 on a CPU, bfloat16 on a GPU.",
    )
    engine_start_s: float = Field(
        default=600, gt=0, description="How long an engine may take to start."
    )
    engine_check_s: float = Field(
        default=600,
        gt=0,
        description="How often what a ready engine serves is compared with its certificate again; "
        "also whenever its list of models changes.",
    )
    engine_max_length: int = Field(
        default=4096, ge=16, description="Longest context an engine serves."
    )
    logprob_tolerance: float = Field(
        default=0.35,
        gt=0,
        description="Largest difference of a token's log-prob, trainer to engine.",
    )

    @field_validator("engine_host")
    @classmethod
    def _one_address(cls, host: str) -> str:
        if host in ("", "*", "0.0.0.0", "::"):  # noqa: S104 - to refuse it
            raise ValueError("name one address of a private network: the API connects to it, too")
        return host

    @model_validator(mode="after")
    def _keys_over_a_network(self) -> Self:
        if not self.engines_are_local and len(self.engine_secret) < 32:
            raise ValueError(
                "engine_host is an address of a network, so engines need keys: put at least 32 "
                "random characters into the secret file oddsmith_engine_secret, the same for the "
                "API and the serve workers"
            )
        return self

    @property
    def engines_are_local(self) -> bool:
        """Whether engines are asked on this machine only, over Unix sockets."""
        return self.engine_host in LOCAL

    @property
    def runs_dir(self) -> Path:
        return (self.runs or self.var / "runs").absolute()

    @property
    def tokens_dir(self) -> Path:
        return self.runs_dir / "tokens"

    @property
    def storage_root(self) -> str:
        return self.storage_url or (self.var / "storage").absolute().as_uri()


@lru_cache
def get_settings() -> Settings:
    folder = Path(os.environ.get("ODDSMITH_SECRETS") or "/run/secrets")
    # pydantic-settings warns about a folder that is not there, and outside a container none is.
    readable = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    return Settings(_secrets_dir=folder if readable else None)  # pyright: ignore[reportCallIssue]
