"""Runs the whole stack on a folder, in this process or detached from it; stops a detached one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import psutil

from cli.stack import parts
from cli.stack.binaries import binaries
from cli.stack.console import Terminal
from cli.stack.errors import StackError
from cli.stack.folder import Folder, Running, Secrets
from cli.stack.ports import LOOPBACK, Ports
from cli.stack.postgres import Postgres, account_for
from cli.stack.process import Part, has_ended, wait_until
from cli.stack.redis import Redis
from cli.stack.runtime import Runtime
from cli.stack.supervisor import Stopped, Supervisor
from services.serving import engine_folders

USUAL_API_PORT = 8000
# Not the usual ports, which a developer's own servers may use.
USUAL_POSTGRES_PORT = 54329
USUAL_REDIS_PORT = 63799

START_S = 180
STOP_S = 100  # the drain, the stores, and the time of a kill


@dataclass(frozen=True)
class Options:
    host: str = LOOPBACK
    port: int | None = None

    def choose_port(self, ports: Ports) -> int:
        if self.port is None:
            return ports.choose(USUAL_API_PORT, self.host)
        if not ports.take(self.port, self.host):
            raise StackError(f"Port {self.port} is taken. Name another port, or leave --port out.")
        return self.port


def run(folder: Folder, options: Options, terminal: Terminal) -> None:
    """Run until SIGINT or SIGTERM; when this returns, no process is left."""
    folder.make()
    runtime = Runtime(folder.runtime_note)
    with folder.lock(), runtime.hold() as temporary, ExitStack() as held:
        secrets = folder.secrets()
        ports = held.enter_context(Ports())
        port = options.choose_port(ports)
        url = f"http://{reachable(options.host)}:{port}"
        begun = time.monotonic()
        stores, database_url, redis_url = prepare_stores(folder, secrets, ports, held, terminal)
        env = parts.environment(folder, api_url=url, database_url=database_url, redis_url=redis_url)
        env["TMPDIR"] = str(temporary)
        env.setdefault("ODDSMITH_WEBHOOK_SECRET", secrets.webhooks)
        everything = [*stores, *parts.services(env, secrets, options.host, port)]
        supervisor = Supervisor(everything, folder.logs, terminal, meanwhile=runtime.look)
        with stopping_on_signals(supervisor):
            running = Running(url, secrets.api_key, os.getpid(), database_url)
            supervise(supervisor, folder, running, begun, terminal)


def supervise(
    supervisor: Supervisor, folder: Folder, running: Running, begun: float, terminal: Terminal
) -> None:
    try:
        with terminal.starting(len(supervisor.tended)):
            supervisor.start()
        with folder.announce(running):
            terminal.say(
                f"\n  Ready after {time.monotonic() - begun:.1f} s at [bold]{running.url}[/]"
            )
            terminal.say(f"  The API key is in {folder.path / 'stack.json'}; logs are beside it.\n")
            supervisor.run()
    except Stopped:
        pass
    finally:
        began_to_stop = time.monotonic()
        supervisor.stop()
        engine_folders.remove_all(folder.path)
        terminal.step("Stopped", time.monotonic() - began_to_stop)


def prepare_stores(
    folder: Folder, secrets: Secrets, ports: Ports, held: ExitStack, terminal: Terminal
) -> tuple[list[Part], str, str]:
    """Return the stores that this stack runs itself, and the addresses of Postgres and Redis."""
    stores: list[Part] = []
    database_url = os.environ.get("ODDSMITH_DATABASE_URL", "")
    redis_url = os.environ.get("ODDSMITH_REDIS_URL", "")
    if not database_url:
        port = ports.choose(USUAL_POSTGRES_PORT)
        postgres = Postgres(
            folder.path / "postgres", port, secrets.postgres_admin, secrets.postgres
        )
        stores.append(prepare_postgres(postgres, folder, held, terminal))
        database_url = postgres.sqlalchemy_url()
    if not redis_url:
        redis = Redis(folder.path / "redis", ports.choose(USUAL_REDIS_PORT), secrets.redis)
        redis.prepare()
        stores.append(redis.part())
        redis_url = redis.url
    return stores, database_url, redis_url


def prepare_postgres(
    postgres: Postgres, folder: Folder, held: ExitStack, terminal: Terminal
) -> Part:
    begun = time.monotonic()
    account = account_for(postgres.folder)
    programs = held.enter_context(binaries(account, folder.path / "postgres.copy"))
    with terminal.busy("Preparing the database"):
        made = postgres.prepare(programs)
    if made:
        terminal.step("New database", time.monotonic() - begun, str(postgres.folder))
    return postgres.part(programs)


@contextmanager
def stopping_on_signals(supervisor: Supervisor) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, supervisor.request_stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def detach(folder: Folder, options: Options, show: Callable[[str], None]) -> Running:
    """Start a stack in its own session and return when it answers; show its output meanwhile."""
    folder.make()
    if folder.holder() is not None:
        raise StackError(folder.why_taken())
    log = folder.logs / "up.log"
    command = [sys.executable, "-m", "cli.main", "up", "--host", options.host]
    if options.port is not None:
        command += ["--port", str(options.port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"ODDSMITH_VAR": str(folder.path)},
            start_new_session=True,
        )
    with log.open() as lines:

        def settled() -> bool:
            show(lines.read())
            ours = (running := folder.running()) is not None and running.pid == process.pid
            return ours or process.poll() is not None

        in_time = wait_until(settled, timeout_s=START_S, interval_s=0.1)
        show(lines.read())
    running = folder.running()
    if in_time and running and running.pid == process.pid:
        return running
    process.terminate()
    raise StackError(f"The stack did not start. See {log}.")


def stop(folder: Folder) -> bool:
    """Stop the stack that runs on the folder, and wait; False if none runs.

    Also removes what a killed stack left outside the folder.
    """
    pid = folder.holder()
    if pid is None:
        if folder.runtime_note.exists():
            with folder.lock():
                Runtime(folder.runtime_note).clear()
        return False
    with suppress(psutil.NoSuchProcess):
        supervisor = psutil.Process(pid)
        supervisor.terminate()
        wait_until(lambda: has_ended(supervisor), timeout_s=STOP_S, interval_s=0.1)
    if folder.holder() == pid:
        raise StackError(f"The stack (process {pid}) still runs. See its logs in {folder.logs}.")
    return True


def reachable(host: str) -> str:
    """Return the address to call for an address to listen on."""
    return LOOPBACK if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - only compared
