"""The containers' healthchecks: `healthy.py api|keeper|worker [...]`, 0 and silence, or 1 and why.

`celery inspect ping` won't do: each takes seconds of CPU, and a worker of one process answers
nothing for as long as it trains. Instead Redis is asked whether this very worker waits for a
message; a worker that doesn't must have computed since the last look.
"""

import os
import sys
import tempfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

# A script's own folder is first on the path, not the one it is run in.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from services.platform.locks import Lock
from services.platform.settings import get_settings

# A waiting worker asks again every 10 s (kombu): a longer silence has another cause.
ASKED_WITHIN_S = 15
# Between two looks, 30 s apart. A training's worker renews a lease ten times in that; one that only
# tries to reach its broker stays far below.
COMPUTED_S = 0.02
UNSENT_S = 30


def api(port: str) -> str | None:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return None
    except (URLError, OSError) as error:
        return f"/readyz: {error}"


def keeper() -> str | None:
    """Some keeper holds the lock, and what is to be published is being published."""
    import psycopg  # noqa: PLC0415 - each check loads only what it asks

    url = get_settings().database_url.replace("postgresql+psycopg://", "postgresql://")
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            held = connection.execute(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
                "AND classid = 0 AND objid = %s AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())",
                [int(Lock.KEEPER)],
            ).fetchone()
            unsent = connection.execute(
                "SELECT 1 FROM outbox WHERE published_at IS NULL "
                "AND created_at < now() - make_interval(secs => %s) LIMIT 1",
                [UNSENT_S],
            ).fetchone()
    except psycopg.Error as error:
        return f"Postgres does not answer: {error}"
    if held is None:
        return "No keeper is at work."
    return f"A wake-up has waited for more than {UNSENT_S} s." if unsent else None


def worker(queue: str) -> str | None:
    import redis  # noqa: PLC0415

    process = find(queue)
    if process is None:
        return f"No worker of the queue `{queue}` runs."
    computed = has_computed(process, queue)
    ours = {connection.laddr.port for connection in process.net_connections("tcp")}
    url = get_settings().redis_url
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as broker:
            asking = {port_of(client) for client in broker.client_list() if is_asking(client)}
    except redis.RedisError as error:
        return f"Redis does not answer: {error}"
    if computed or ours & asking:
        return None
    return "The worker neither waits for a message nor works."


def find(queue: str) -> psutil.Process | None:
    """Return the worker's process.

    Its name `queue@host` is in its arguments or, where setproctitle is installed, in the title that
    Celery writes over them (and over the environment behind them).
    """
    var = os.environ.get("ODDSMITH_VAR")
    for process in psutil.process_iter():
        try:
            # 1 is the container's init, which has the worker's arguments, too.
            is_ours = process.pid != 1 and process.uids().real == os.getuid()
            is_named = f" {queue}@" in " ".join(process.cmdline())
            if is_ours and is_named and process.environ().get("ODDSMITH_VAR", var) == var:
                return process
        except psutil.Error:
            continue
    return None


def port_of(client: dict[str, str]) -> int:
    return int(client["addr"].rpartition(":")[2])


def is_asking(client: dict[str, str]) -> bool:
    return client["cmd"] == "brpop" and int(client["idle"]) <= ASKED_WITHIN_S


def has_computed(process: psutil.Process, queue: str) -> bool:
    """Say whether the worker and the verbs it waits for used the CPU since the last look.

    Trainings and engines have sessions of their own and don't count: they may outlive a worker
    that hangs.
    """
    session = os.getsid(process.pid)
    used_s = 0.0
    for member in [process, *process.children(recursive=True)]:
        try:
            if os.getsid(member.pid) == session:
                times = member.cpu_times()
                used_s += times.user + times.system
        except (psutil.Error, ProcessLookupError):
            continue
    note = Path(tempfile.gettempdir()) / f"healthy-{queue}"
    started = str(process.create_time())
    before = note.read_text().split() if note.exists() else []
    note.write_text(f"{started} {used_s}")
    # Less than before: a verb has ended, so there was one.
    is_known = len(before) == 2 and before[0] == started
    return is_known and abs(used_s - float(before[1])) >= COMPUTED_S


def main() -> int:
    checks = {"api": api, "keeper": keeper, "worker": worker}
    reason = checks[sys.argv[1]](*sys.argv[2:])
    if reason:
        print(reason)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
