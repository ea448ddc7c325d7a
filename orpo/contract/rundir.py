"""A run directory: the name of every file, event, level and environment variable in it.

The core writes the directory; workers and `oddsmith train` read it (decision 5). A name that both
sides need is defined here and nowhere else. Imports nothing.

    data/           TRAIN_ROWS, HELD_OUT_ROWS, TOKENS_NOTE    the rows of all generations of a job
    g1/, g2/, ...   one folder for each generation:
        SPEC                       the spec of the run; written before the start
        METRICS, EVENTS, PAIRS, SAMPLES    the journal, one JSON object a line
        PREPARED, PROGRESS         the results of `orpo.prepare`, and its progress
        RENDERED                   the tokens of the first training pairs, as evidence
        CHECKPOINTS/step-000010/   see `checkpoint`
        log()                      the output of the processes
        deadline(), REGISTERED     written by the worker (see `orpo.process.watchdog`)
        STORE                      the file through which the ranks of one machine connect
        MEETING                    the address at which the ranks of several machines connect
        LEASE, STOP, REVOKED, WAITS, clock()    of a run on a cluster (see `services.launchers`)
        PARTS/, DEEP_AUDIT, DEEP_AUDIT_PAIRS, DEEP_AUDIT_FOUND    of a deep audit
"""

from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path

SPEC = "spec.json"
METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
SAMPLES = "samples.jsonl"
PAIRS = "pairs.jsonl"
PREPARED = "prepared.json"
RENDERED = "rendered.json"
PROGRESS = "progress.json"
REGISTERED = "registered"
STORE = "store"
# host:port at which the first rank of a run on several machines waits for the others.
MEETING = "meeting"
# Of a run on a cluster: held, asked to end, ended at once; and a sentence on what it waits for.
LEASE = "lease"
STOP = "stop"
REVOKED = "revoked"
WAITS = "waits.txt"
# Of a deep audit: its measured parts, its pairs from the most suspicious on, and its findings.
PARTS = "parts"
DEEP_AUDIT_PAIRS = "deep_audit.jsonl"
DEEP_AUDIT_FOUND = "deep_audit.npz"
DEEP_AUDIT = "deep_audit.json"

DATA = "data"
TRAIN_ROWS = "train.jsonl"
HELD_OUT_ROWS = "held_out.jsonl"
# The entries of the shared token cache that were made from these rows, one name a line.
TOKENS_NOTE = "tokens.txt"

CHECKPOINTS = "checkpoints"
# In a checkpoint: the weights for users, the state that only the run needs, and the probe that
# checks an engine.
ADAPTER = "adapter"
MODEL = "model"
STATE = "state"
PROBE = "probe.json"
MANIFEST = "manifest.json"
# The facts of the base's files, as recorded at registration.
BASE = "base.json"
# In a checkpoint of a reward model: how it reads a conversation (`orpo.contract.score.Judge`).
JUDGE = "judge.json"

# Every name that a generation's folder may hold; rows and tokens only where a caller puts them
# there.
NAMES = (
    *(SPEC, METRICS, EVENTS, SAMPLES, PAIRS, PREPARED, PROGRESS, REGISTERED, STORE, CHECKPOINTS),
    *(PARTS, DEEP_AUDIT, DEEP_AUDIT_PAIRS, DEEP_AUDIT_FOUND),
    *(RENDERED, TRAIN_ROWS, HELD_OUT_ROWS, TOKENS_NOTE),
    *(MEETING, LEASE, STOP, REVOKED, WAITS),
    *("tokens-*", "deadline*", "clock-*", "train*.log", "*.tmp"),
)

# The path of a file that holds a CLOCK_MONOTONIC time in seconds: the launcher ends its ranks once
# that time has passed.
DEADLINE_FILE = "ODDSMITH_DEADLINE_FILE"
# Marks each process of a run's tree, so that it can be found after its parent has died.
TREE = "ODDSMITH_TREE"
# torchrun's names for the rank of this process and the number of ranks, over all machines and on
# this machine.
RANK, WORLD_SIZE = "RANK", "WORLD_SIZE"
LOCAL_RANK, LOCAL_WORLD_SIZE = "LOCAL_RANK", "LOCAL_WORLD_SIZE"


class Event(StrEnum):
    """The types of a run's events. A run ends with one of ENDS, unless it was killed."""

    STARTED = "started"
    RESUMED = "resumed"
    UNSHARED = "unshared"
    EVALUATED = "evaluated"
    CHECKPOINT = "checkpoint"
    ESTIMATED = "estimated"
    AUDITED = "audited"
    FINISHED = "finished"
    STOPPED = "stopped"
    ERROR = "error"


STARTS = (Event.STARTED, Event.RESUMED)
RESULTS = (Event.ESTIMATED, Event.AUDITED)
ENDS = (Event.FINISHED, Event.STOPPED, Event.ERROR)


class Level(StrEnum):
    """The severity of an event; the values are those of OpenAI's job events."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"

    @classmethod
    def _missing_(cls, value: object) -> "Level | None":
        """Read `warning`, which the core wrote before this contract existed."""
        return cls.WARN if value == "warning" else None


class Split(StrEnum):
    """Which pairs a number is about: the training pairs or the held-out pairs."""

    TRAIN = "train"
    HELD_OUT = "held_out"


def generation(run_dir: Path, number: int) -> Path:
    """The folder of a generation (an attempt) of a job; generations count from 1."""
    return run_dir / f"g{number}"


def generations(run_dir: Path) -> list[Path]:
    """The folders of all generations, the earliest first."""
    found = (path for path in run_dir.glob("g*") if path.name[1:].isdecimal())
    return sorted(found, key=lambda folder: int(folder.name[1:]))


def saved(run: Path) -> list[Path]:
    """Every checkpoint folder in all generations of a job, incomplete ones included."""
    return [path for each in generations(run) for path in (each / CHECKPOINTS).glob("step-*")]


def checkpoint(run_dir: Path, step: int) -> Path:
    """The folder of the checkpoint of a step."""
    return run_dir / CHECKPOINTS / f"step-{step:06d}"


def checkpoints(run_dir: Path) -> list[Path]:
    """The committed checkpoints of a run directory, the earliest first."""
    return sorted((run_dir / CHECKPOINTS).glob("step-*[0-9]"), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(checkpoint.name.removeprefix("step-"))


def unknown(run_dir: Path) -> list[str]:
    """The names in a generation's folder that this release neither reads nor writes."""
    found = (path.name for path in run_dir.iterdir())
    return sorted(name for name in found if not any(fnmatch(name, known) for known in NAMES))


def deadline(node: int = 0) -> str:
    """The name of the file that holds the deadline of a node's ranks."""
    return f"deadline-{node}" if node else "deadline"


def clock(node: str) -> str:
    """The name of the file that a node touches, to read the time of the file system's clock."""
    return f"clock-{node}"


def log(node: int = 0) -> str:
    """The name of the log of a node's ranks: nodes of one machine must not share one."""
    return f"train-{node}.log" if node else "train.log"
