"""Run a verb of the training core, `python -m orpo.<verb>`, in a process without credentials.

The core is never imported here: it needs torch, and this process may not have it.
"""

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from orpo.contract.failures import Code
from orpo.contract.rundir import PROGRESS, TREE
from services.platform.errors import Invalid, Unavailable
from services.platform.settings import get_settings
from services.processes import sandbox
from services.processes.reach import Reach, of_verb

# What a Python with torch needs to run, on CPU and on CUDA. Nothing else passes.
ALLOWED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
    "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "HF_HOME",
    "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF",
)  # fmt: skip
# The libraries' own settings for the network between nodes; none is a credential.
ALLOWED_PREFIXES = ("NCCL_", "GLOO_")
# How long a waiting OpenMP thread spins before it sleeps. With this, a training step on two cores
# took 1.1 s idle and 2.9 s beside other work; by default 1.4 s and 4 to 12 s; never spinning, 2.5 s
# idle.
FIXED = {
    "GOMP_SPINCOUNT": "10000",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",  # bars are for terminals; in a log each frame is a line
}
# Verbs that load weights; the others get by with far less memory.
LOADS_WEIGHTS = ("embed", "fold", "gguf", "likelihoods", "merge", "probe", "score")
SLOW_BYTES_A_S = 5_000_000  # what a slow disk gives
PAUSE_S = 0.5  # between two calls of `meanwhile`


def environment(mark: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a process without credentials, marked as part of `mark`'s tree."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in ALLOWED or name.startswith(ALLOWED_PREFIXES)
    }
    return {**FIXED, **passed, **(extra or {}), TREE: mark}


class VerbError(Exception):
    """A verb ended badly. `error` is its {"code", "message", "hint", "param"}."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.error = error

    @property
    def is_fleeting(self) -> bool:
        """Whether the failure is not due to the verb's input: it may succeed the next time."""
        return self.error.get("code") in (Code.TIMEOUT, Code.KILLED, Code.INTERNAL)


@contextmanager
def refused(what: str, param: str) -> Iterator[None]:
    """Refuse the request if a verb fails within; `what`, without a full stop, begins the sentence.

    Raises Unavailable for a failure that may not repeat, and Invalid, with the field, for others.
    """
    try:
        yield
    except VerbError as failure:
        message = f"{what}: {failure}"
        if failure.is_fleeting:
            raise Unavailable(message) from None
        raise Invalid(message, param=param) from None


def run_verb(
    verb: str,
    *arguments: str,
    timeout_s: float = 600,
    meanwhile: Callable[[], None] | None = None,
    reach: Reach | None = None,
) -> dict[str, Any]:
    """Run `python -m orpo.<verb>`, confined; return the JSON object that is its last line.

    It is confined to `reach`, by default to the absolute paths among its arguments (`of_verb`).
    Pass `reach` if an argument comes from a user and might look like a path.

    The JSON object, not the exit code, says how the verb ended. `meanwhile` is called twice a
    second while it runs. Raises VerbError with {"code", "message", "hint", "param"}; its codes are
    those of `orpo.contract.failures`, and `timeout`, `killed` and `limit`.
    """
    mark = " ".join([f"orpo.{verb}", *arguments])
    try:
        done = _run(
            _confined(verb, arguments, reach or of_verb(arguments), timeout_s),
            mark,
            timeout_s,
            meanwhile,
        )
    except subprocess.TimeoutExpired:
        message = f"orpo.{verb} did not end within {timeout_s:.0f} s."
        raise VerbError({"code": Code.TIMEOUT, "message": message}) from None
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        raise VerbError(_unsaid(verb, done)) from None
    if "error" in answer:
        ran_out = answer["error"].get("code") == Code.OUT_OF_MEMORY and verb not in LOADS_WEIGHTS
        raise VerbError(_too_much(verb, sandbox.TOO_MUCH_MEMORY) if ran_out else answer["error"])
    return answer


def _confined(verb: str, arguments: Sequence[str], reach: Reach, timeout_s: float) -> list[str]:
    loads_weights = verb in LOADS_WEIGHTS
    limits = sandbox.whole_limits() if loads_weights else sandbox.step_limits()
    # The processor time of all cores until the timeout. This limit works even while this process
    # can't watch the clock, because it is stopped or waits for the database in `meanwhile`. Without
    # a timeout there is no such limit.
    cores_s = timeout_s * len(os.sched_getaffinity(0))
    cpu_s = math.ceil(cores_s) if math.isfinite(cores_s) else 0
    command = [get_settings().train_python, "-m", f"orpo.{verb}", *arguments]
    limits = replace(limits, cpu_s=cpu_s)
    return sandbox.wrap(command, reads=reach.reads, writes=reach.writes, limits=limits)


def _too_much(verb: str, code: int) -> dict[str, Any]:
    """The error of a verb that met a limit of its sandbox."""
    message = f"orpo.{verb} was ended: {sandbox.BROKEN[code]}"
    return {"code": Code.LIMIT, "message": message, "hint": sandbox.HINT}


def _unsaid(verb: str, done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The error of a verb that left none of its own."""
    if done.returncode in sandbox.BROKEN:
        return _too_much(verb, done.returncode)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = "The machine may be short of memory. Check the machine's own log."
        return {"code": Code.KILLED, "message": f"orpo.{verb} was ended by {name}.", "hint": hint}
    tail = done.stderr.decode(errors="replace").strip()[-500:]
    message = f"orpo.{verb} ended with code {done.returncode}: {tail or 'it printed nothing'}"
    return {"code": Code.INTERNAL, "message": message}


def _run(
    command: list[str], mark: str, timeout_s: float, meanwhile: Callable[[], None] | None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; whatever cuts that short ends the process."""
    until = time.monotonic() + timeout_s
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(mark),
        start_new_session=True,
    ) as process:
        try:
            while True:
                try:
                    out, error = process.communicate(timeout=min(PAUSE_S, timeout_s))
                    return subprocess.CompletedProcess(command, process.returncode, out, error)
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= until:
                        raise
                if meanwhile:
                    meanwhile()
        except BaseException:
            process.kill()
            raise


def tokenised(run_dir: Path) -> dict[str, int] | None:
    """How far `orpo.prepare` is with a run, {"tokenised", "pairs"}; None before and after."""
    try:
        return json.loads((run_dir / PROGRESS).read_bytes())
    except (OSError, ValueError):
        return None


def smaller_budget(started: dict[str, Any]) -> int | None:
    """Half the tokens of a forward pass, for a run that ran out of memory. None if that would not
    help, because the longest pair already has a forward pass of its own.

    `started` is the data of the run's event of that name; it is empty if memory ran out before.
    """
    budget, longest = started.get("token_budget"), started.get("longest")
    return budget // 2 if budget and longest and budget > longest else None


def time_for(folder: Path, at_least_s: float) -> float:
    """Return how long a verb that reads the whole of `folder` may take, from a slow disk too."""
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return at_least_s + size_bytes / SLOW_BYTES_A_S
