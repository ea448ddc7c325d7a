"""The sandbox of processes that read a model's files, tested with a compromised process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.stack.files import write_private
from cli.stack.parts import ROOT
from cli.stack.process import wait_until
from orpo.contract.methods import parse_method
from orpo.contract.rundir import TREE
from orpo.contract.spec import RunSpec, write_spec
from services.launchers.local import launch
from services.platform.settings import get_settings
from services.processes import guard, process_tree, sandbox
from services.processes.verbs import VerbError, run_verb
from services.serving import engine_folders
from tests.processes import those
from tests.services import burglar
from workers import vllm

NOBODY = 65534
confined = pytest.mark.skipif(bool(sandbox.why_not()), reason=f"{sandbox.why_not()}")


@pytest.fixture
def burgled(settings_from: Callable[..., None], tmp_path: Path) -> Path:
    """A stack's folder with a model; `burglar.py` replaces the training core."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable} -IS\n{Path(burglar.__file__).read_text()}")
    program.chmod(0o755)
    var = tmp_path / "var"
    settings_from(var=var, train_python=program, storage_url="", runs="")
    os.environ.pop("ODDSMITH_RUNS")
    get_settings.cache_clear()
    for folder in ("model", "runs/other", "postgres", "log"):
        (var / folder).mkdir(parents=True)
    write_private(var / "secrets.json", "secret")
    (var / "runs" / "other" / "spec.json").write_text("other")
    return var


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    """A server in the place of Postgres, Redis and the API, which all listen on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@pytest.fixture
def socket_file(burgled: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp()) / "engine"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "61.25"]) as process:
        yield process
        process.kill()


@pytest.fixture
def escapes(
    burgled: Path,
    listener: tuple[str, int],
    socket_file: Path,
    bystander: subprocess.Popen[bytes],
) -> Iterator[dict[str, Any]]:
    """Attempts that must not succeed, by name."""
    var = burgled
    yield {
        "secrets": ("read", [str(var / "secrets.json")]),
        "another run": ("read", [str(var / "runs/other/spec.json")]),
        "files of the database": ("list_folder", [str(var / "postgres")]),
        "stores and API": ("connect", list(listener)),
        "an engine's socket": ("connect_unix", [str(socket_file)]),
        "the model": ("write", [str(var / "model" / "config.json")]),
        "the code": ("write", [str(ROOT / "orpo" / "planted.py")]),
        "packages": ("write", [str(Path(sys.prefix) / "planted.pth")]),
        "the kernel": ("write", ["/proc/sys/kernel/core_pattern"]),
        "a signal": ("signal", [bystander.pid]),
        "processes": ("see", ["61.25"]),
        "other users' files": ("list_folder", ["/home"]),
    }
    for path in (ROOT / "orpo" / "planted.py", Path(sys.prefix) / "planted.pth"):
        path.unlink(missing_ok=True)


def attempt(folder: Path, **attempts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attempts.json").write_text(json.dumps(attempts))
    return folder


@confined
def test_a_verb_reaches_nothing_but_its_paths(burgled, escapes):
    found = run_verb("check_model", str(attempt(burgled / "model", **escapes)))
    assert found == dict.fromkeys(escapes)


def run_of(var: Path, **attempts: Any) -> tuple[Path, RunSpec]:
    """A run directory of two ranks, and a spec whose model must not be changed."""
    data = var / "runs" / "job" / "data"
    data.mkdir(parents=True)
    (data / "train.jsonl").write_text("row")
    method = parse_method("orpo", {"processes": 2, "strategy": "ddp"})
    spec = RunSpec(
        job_id="job", base_model="model", base_model_path=var / "model", method=method,
        train_path=data / "train.jsonl", tokens_path=var / "runs" / "tokens",
    )  # fmt: skip
    run_dir = attempt(var / "runs" / "job" / "g1", **attempts)
    write_spec(spec, run_dir)
    return run_dir, spec


@confined
def test_a_training_reaches_nothing_but_its_run(burgled, escapes):
    escapes |= {
        "its own spec": ("write", [str(burgled / "runs/job/g1/spec.json")]),
        "its rows": ("write", [str(burgled / "runs/job/data/train.jsonl")]),
    }
    own = {
        "its folder": ("write", [str(burgled / "runs/job/g1/made")]),
        "its tokens": ("write", [str(burgled / "runs/tokens/made")]),
        "a row": ("read", [str(burgled / "runs/job/data/train.jsonl")]),
    }
    run_dir, spec = run_of(burgled, **escapes, **own)
    process = launch(run_dir, spec)
    assert wait_until(lambda: process.poll() is not None, timeout_s=30)
    found = json.loads((run_dir / "train.log").read_text().splitlines()[-1])
    assert {name for name, value in found.items() if value is not None} == set(own)


@confined
def test_an_engine_reaches_nothing_but_weights_and_runs(burgled, escapes, monkeypatch, tmp_path):
    del escapes["another run"]  # an engine may read runs, to load adapters
    sockets = engine_folders.folder("engine-1")
    own = {
        "its socket": ("write", [str(sockets / "http")]),
        "an adapter": ("read", [str(burgled / "runs/other/spec.json")]),
        "weights beside an adapter": ("read", [str(sockets / "weights/model.safetensors")]),
    }
    weights = attempt(burgled / "model", **escapes, **own)
    for name in ("model.safetensors", "adapter_model.safetensors"):
        (weights / name).touch()
    argv = [get_settings().train_python, "--model", str(weights), "--uds", str(sockets / "http")]
    monkeypatch.setattr(vllm, "command", lambda _: argv)
    plan = vllm.Plan("engine-1", str(weights), "base", str(sockets / "http"), 0, "cpu", 0)
    session, _ = vllm.start(plan)
    assert wait_until(lambda: not process_tree.session(session), timeout_s=20)
    found = json.loads(vllm.log_file("engine-1").read_text().splitlines()[-1])
    assert {name for name, value in found.items() if value is not None} == set(own)


@pytest.mark.parametrize(
    ("attempts", "settings", "ended"),
    [
        ({"one": ("allocate", [300_000_000])}, {"step_memory_gib": 0.2}, None),
        (
            {"several": ("allocate_together", [80_000_000, 12])},
            {"step_memory_gib": 0.2},
            "it took too much memory.",
        ),
        (
            {"processes": ("multiply", [40])},
            {"max_processes": 20},
            "it started too many processes.",
        ),
        ({"file": ("fill", ["/tmp/big", 2_000_000])}, {"max_file_gib": 0.001}, None),
    ],
)
def test_a_verb_that_takes_too_much_is_ended(burgled, settings_from, attempts, settings, ended):
    settings_from(**settings)
    folder = str(attempt(burgled / "model", **attempts))
    if ended is None:
        assert run_verb("check_model", folder) == dict.fromkeys(attempts)
        return
    with pytest.raises(VerbError) as caught:
        run_verb("check_model", folder)
    assert caught.value.error["code"] == "limit"
    assert str(caught.value) == f"orpo.check_model was ended: {ended}"


WAITING = """
import sys
from services.processes.verbs import run_verb
run_verb('check_model', sys.argv[1])
"""


def left_of(folder: Path) -> list[psutil.Process]:
    """The live processes of a check of this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get(TREE, "").endswith(f"orpo.check_model {folder}")
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("mode", ["auto", "floor"])
def test_nothing_is_left_when_the_parent_is_killed(burgled, settings_from, mode):
    settings_from(sandbox=mode)
    folder = attempt(burgled / "model", left=("leave", [60]))
    waiting = subprocess.Popen([sys.executable, "-c", WAITING, str(folder)], cwd=ROOT)

    def there() -> bool:
        return bool(those(left_of(folder), lambda process: process.name() == "sleep"))

    assert wait_until(there, timeout_s=20)
    waiting.send_signal(signal.SIGKILL)
    waiting.wait()
    assert wait_until(lambda: not left_of(folder), timeout_s=2)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "floor"])
def test_a_verb_s_processor_time_is_limited_though_nobody_watches_the_clock(
    burgled, settings_from, mode
):
    settings_from(sandbox=mode)
    folder = attempt(burgled / "model", loop=("spin", []))

    def blocked() -> None:
        """Acts like a query to a database that does not answer."""
        assert wait_until(lambda: not left_of(folder), timeout_s=30)

    with pytest.raises(VerbError) as caught:
        run_verb("check_model", str(folder), timeout_s=0.6, meanwhile=blocked)
    assert caught.value.error["code"] == "limit"
    assert str(caught.value) == "orpo.check_model was ended: it took too much processor time."


# Like a supervisor: find the rank by its environment from outside, and send SIGTERM to it.
SUPERVISOR = """
import os, signal, subprocess, sys, time
from pathlib import Path
process = subprocess.Popen(sys.argv[1:], env={"LOCAL_RANK": "0", "PATH": "/usr/bin:/bin"},
                           start_new_session=True)
until, found = time.monotonic() + 10, False
while not found and time.monotonic() < until:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"LOCAL_RANK=0" in (entry / "environ").read_bytes() and (
                entry / "comm").read_text() == "sleep\\n":
                os.kill(int(entry.name), signal.SIGTERM)
                found = True
        except OSError:
            pass
print(found, process.wait(10))
"""


@pytest.fixture
def as_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run a sandbox as an ordinary user, with the system's Python: it can't enter root's home."""
    if os.getuid() or not Path("/usr/bin/python3").exists():
        pytest.skip("the tests run as an ordinary user already, or there is no system Python")
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    copy = shutil.copy(guard.__file__, place)
    monkeypatch.setattr(sandbox.guard, "__file__", str(copy))
    for name, value in (
        ("executable", "/usr/bin/python3"),
        ("prefix", "/usr"),
        ("base_prefix", "/usr"),
    ):
        monkeypatch.setattr(sys, name, value)

    def run(argv: list[str], *before: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *argv], user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
            capture_output=True, text=True, check=False, start_new_session=True,
        )  # fmt: skip

    if run([str(sandbox.find_bubblewrap()), "--version"]).returncode:
        pytest.skip("an ordinary user can't enter the folder of bubblewrap")
    yield run
    shutil.rmtree(place)


# An ordinary user may be refused at first: the kernel takes ten changes a second, of all users.
SAYS_ITS_PRIORITY = """
import os, pathlib, time
autogroup = pathlib.Path("/proc/self/autogroup")
until = time.monotonic() + 10
while autogroup.exists() and "nice 10" not in autogroup.read_text() and time.monotonic() < until:
    time.sleep(0.05)
print(os.nice(0), autogroup.read_text() if autogroup.exists() else "nice 10")
"""


@pytest.mark.parametrize("mode", ["auto", "floor"])
def test_a_command_takes_the_cores_that_others_leave(settings_from, mode):
    settings_from(sandbox=mode)
    command = sandbox.wrap([sys.executable, "-c", SAYS_ITS_PRIORITY])
    said = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, start_new_session=True
    ).stdout.split()
    assert (int(said[0]), said[-2:]) == (min(19, os.nice(0) + 10), ["nice", "10"])


@confined
def test_an_ordinary_user_s_process_is_confined_too(burgled, escapes, as_nobody):
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    attempt(place, **escapes, own=("read", [str(place / "attempts.json")]))
    shutil.copy(burglar.__file__, place)
    command = ["/usr/bin/python3", "-IS", str(place / "burglar.py"), str(place)]
    done = as_nobody(sandbox.wrap(command, reads=[place], directory=sandbox.HOME))
    shutil.rmtree(place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name for name, value in found.items() if value is not None} == {"own"}


@confined
def test_an_ordinary_user_finds_and_stops_a_rank_in_its_sandbox(as_nobody):
    command = sandbox.wrap(["/usr/bin/sleep", "30"], directory=sandbox.HOME)
    done = as_nobody(command, "/usr/bin/python3", "-c", SUPERVISOR)
    assert done.stdout.split() == ["True", str(-signal.SIGTERM)], done.stderr
