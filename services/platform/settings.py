"""Settings, read once: from the environment (`ODDSMITH_*`), else from secret files.

A secret file has the setting's whole name, such as `oddsmith_database_url`, and is in /run/secrets
or in the folder that ODDSMITH_SECRETS names. Knows no defaults of other parts.
"""

import os
import sys
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOCAL = ("127.0.0.1", "localhost", "::1")


class Launcher(StrEnum):
    """What starts the ranks of a run: the train worker itself, or a cluster."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"
    KUBERNETES = "kubernetes"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ODDSMITH_", extra="ignore", frozen=True)

    var: Path = Field(default=Path("var"), description="The folder for all files that are written.")
    database_url: str = Field(default="", description="postgresql+psycopg://user:password@host/db")
    redis_url: str = Field(default="", description="redis://:password@host:port/0")
    storage_url: str = Field(
        default="", description="file:///path or s3://bucket/prefix; uploads lie there."
    )
    runs: Path | None = Field(
        default=None, description="Run directories; shared by train and serve."
    )

    egress_allow: str | None = Field(
        default=None,
        description="Hosts and networks of private addresses that the product may connect to, such "
        "as a hub's mirror that redirects: `mirror.internal,10.0.0.0/8`.",
    )
    endpoint_secrets: SecretStr = Field(
        default=SecretStr(""),
        description="Keys of other services' endpoints, for judges and baselines, as JSON: "
        '`{"name": {"base_url": "https://...", "key": "..."}}`. Each goes to its base_url only.',
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What the signing secrets of webhooks are derived from: at least 32 random "
        "characters, the same for the API and the files worker. If it changes, each webhook must "
        "be added again.",
    )
    mlflow_uri: str | None = Field(
        default=None,
        description="The MLflow server that jobs of the first organisation may be mirrored to, "
        "such as http://mlflow.internal:5000. Without one, they are mirrored to files.",
    )
    wandb_api_key: SecretStr = Field(
        default=SecretStr(""),
        description="The key to Weights & Biases that jobs of the first organisation are mirrored "
        "with. Without one, they are written to W&B's offline files.",
    )
    download_s: float = Field(
        default=86_400, gt=0, description="How long the download of a base model may take."
    )
    download_bytes_s: float = Field(
        default=20_000,
        ge=0,
        description="A download that is slower than this for a minute is ended.",
    )

    web_dist: Path = Field(
        default=Path(__file__).parents[2] / "web" / "dist", description="The built page."
    )

    train_python: str = Field(default=sys.executable, description="Interpreter that has torch.")
    vllm_python: str = Field(default=sys.executable, description="Interpreter that has vLLM.")

    max_upload_bytes: int = Field(default=8 * 2**30, description="Largest file that is accepted.")
    org_quota_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes of files that an organisation may store; 0 is no limit.",
    )
    upload_hours: float = Field(
        default=1,
        gt=0,
        le=720,
        description="Hours after which an upload in parts that was not completed expires.",
    )
    max_body_bytes: int = Field(default=2**20, description="Largest JSON body.")
    headers_s: float = Field(
        default=10, gt=0, description="How long a request's line and headers may take to arrive."
    )
    body_gap_s: float = Field(
        default=30, gt=0, description="How long a request's body may pause while it is sent."
    )
    body_bytes_per_s: int = Field(
        default=1024, ge=0, description="The slowest body, on average; judged after `body_gap_s`."
    )
    pending_per_address: int = Field(
        default=256,
        ge=1,
        description="Connections of one address that hold no complete request; those that have "
        "waited longest are closed. A request that is being answered, a stream too, isn't counted.",
    )
    changes_per_minute: int = Field(
        default=600,
        ge=0,
        description="Requests that change or start something (POST, PUT, DELETE), of one API key "
        "in a minute; 0 is no limit.",
    )
    chat_tokens_per_minute: int = Field(
        default=400_000,
        ge=0,
        description="Tokens that chats and comparisons of one API key may cost in a minute: their "
        "messages, and each answer at its longest; 0 is no limit.",
    )
    chats_at_once: int = Field(
        default=8,
        ge=0,
        description="Answers of engines that one API key may have on their way, in each process of "
        "the API; 0 is no limit. An engine on a CPU computes 16 at a time.",
    )
    keep_merged_days: float = Field(
        default=30,
        ge=0,
        description="Days after which merged weights and GGUF files that were not asked for are "
        "removed; they are made again when asked for. 0 keeps them.",
    )
    keep_prepared_days: float = Field(
        default=30,
        gt=0,
        le=30,
        description="Days after which tokens that no run has begun with are removed; they are made "
        "again when needed.",
    )
    keep_comparisons_days: float = Field(
        default=365,
        ge=0,
        description="Days that comparisons and their votes are kept; 0: for ever.",
    )
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
        description="A training that has begun and then writes nothing for this long counts as "
        "hung and is started again. It must exceed the longest step, evaluation or save.",
    )
    start_s: float = Field(
        default=1800,
        gt=0,
        description="A training that hasn't begun this long after its start counts as hung, too. "
        "The time that a slow disk (5 MB/s) needs for the base model is added.",
    )
    prepare_stall_s: float = Field(
        default=300,
        gt=0,
        description="Tokenising a job's data that makes no progress for this long is ended.",
    )
    drain_s: float = Field(
        default=50, gt=0, description="How long a stopping training may take to save."
    )

    sandbox: Literal["auto", "bubblewrap", "floor"] = Field(
        default="auto",
        description="How processes that touch models' and users' files are confined: `bubblewrap` "
        "refuses to run them without it, `floor` sets limits only, `auto` uses bubblewrap where "
        "the kernel allows it.",
    )
    memory_share: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of the machine's memory that one training, export or engine may take.",
    )
    step_memory_gib: float = Field(
        default=4,
        gt=0,
        description="Memory of a process that checks a model or tokenises rows. All processes of "
        "such a step together may take this much, and a quarter of it more for each core.",
    )
    max_processes: int = Field(
        default=1024, ge=8, description="Processes of one confined command at a time."
    )
    max_file_gib: float = Field(
        default=512, gt=0, description="Largest file that a confined command may write."
    )

    launcher: Launcher = Field(
        default=Launcher.LOCAL,
        description="What starts runs: `local` is the train worker's own machine; `ray`, `slurm` "
        "and `kubernetes` are clusters, which also run jobs over several nodes. The same for the "
        "API and the train workers.",
    )
    cluster_device: Literal["gpu", "cpu"] = Field(
        default="gpu", description="What a cluster gives each process of a run: a GPU or a core."
    )
    cluster_python: str | None = Field(
        default=None,
        description="Interpreter on the cluster's nodes that has Oddsmith and torch; by default "
        "the path of the worker's own.",
    )
    ray_address: str = Field(
        default="http://127.0.0.1:8265", description="The job server of the Ray cluster."
    )
    ray_token: SecretStr = Field(
        default=SecretStr(""),
        description="The token of the Ray cluster (RAY_AUTH_MODE=token): its job server runs "
        "whatever it receives.",
    )
    slurm_options: str | None = Field(
        default=None,
        description="Further options of sbatch, such as `--partition=gpu --time=1-0 "
        "--account=team`.",
    )
    kubernetes_namespace: str = Field(
        default="oddsmith", description="Where TrainJobs are created."
    )
    kubernetes_runtime: str = Field(
        default="oddsmith", description="The TrainingRuntime in that namespace that runs them."
    )
    node_address: str | None = Field(
        default=None,
        description="Where the other nodes of a run reach this machine; by default what the "
        "launcher says, or its host name.",
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
        description="How often the models of a ready engine are compared with their certificates "
        "again; they are also compared whenever the engine's list of models changes.",
    )
    engine_max_length: int = Field(
        default=4096, ge=16, description="Longest context an engine serves."
    )
    evals_at_once: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Requests that evaluations have on their way to one engine or endpoint; those "
        "that run at the same time share them. An engine on a CPU computes 16 at a time, and chats "
        "need room beside evaluations.",
    )
    evals_answer_s: float = Field(
        default=600,
        gt=0,
        description="How long an engine, an endpoint or a judge may take for one answer of an "
        "evaluation; it is then asked again, a few times.",
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
        """Whether engines are reached on this machine only, over Unix sockets."""
        return self.engine_host in LOCAL

    @property
    def runs_dir(self) -> Path:
        return (self.runs or self.var / "runs").absolute()

    @property
    def trackers_dir(self) -> Path:
        return (self.var / "trackers").absolute()

    @property
    def tokens_dir(self) -> Path:
        return self.runs_dir / "tokens"

    @property
    def storage_root(self) -> str:
        return self.storage_url or (self.var / "storage").absolute().as_uri()


@lru_cache
def get_settings() -> Settings:
    folder = Path(os.environ.get("ODDSMITH_SECRETS") or "/run/secrets")
    # pydantic-settings warns about a missing folder, and outside a container it is missing.
    readable = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    return Settings(_secrets_dir=folder if readable else None)  # pyright: ignore[reportCallIssue]
