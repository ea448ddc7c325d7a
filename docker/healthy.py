"""The containers' healthchecks: `healthy.py api|keeper|worker [...]` exits with 0 and no output, or
with 1 and the reason.

`celery inspect ping` does not work here: each takes seconds of CPU, and a worker of one process
does not answer while it trains. Instead, the check looks in Redis whether this worker waits for a
message. A worker that does not wait must have used the CPU since the last check.
"""

import os
import sys
import tempfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

# Python puts a script's own folder first on the path, not the working directory.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from services.platform.locks import Lock
from services.platform.settings import get_settings

# A waiting worker polls every 10 s (kombu); a longer silence has another cause.
ASKED_WITHIN_S = 15
# CPU time between two checks, which are 30 s apart. The worker of a training renews a lease ten
# times in 30 s; a worker that only tries to reach its broker uses much less.
COMPUTED_S = 0.02
UNSENT_S = 30


def api(port: str) -> str | None:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return None
    except (URLError, OSError) as error:
        return f"/readyz: {error}"


def keeper() -> str | None:
    """Check that a keeper holds the lock, and that wake-ups are published."""
    import psycopg  # noqa: PLC0415 - each check imports only what it needs

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
            # 1 is the container's init, which has the worker's arguments too.
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
    """Whether the worker and the verbs it waits for used the CPU since the last check.

    Trainings and engines have sessions of their own and don't count: they may outlive a worker that
    hangs.
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
    # Less than before: a verb has ended, so the worker has worked.
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
