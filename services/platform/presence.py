"""Who is at work: the keeper, seen by its lock, and workers, by a sign that each renews in Redis.

Says nothing of what they do; a worker that trains for hours signs all the while.
"""

import time
from collections import Counter
from contextlib import suppress

import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.platform.locks import Lock
from services.platform.queue import Task
from services.platform.settings import get_settings

QUEUES = tuple(dict.fromkeys(task.partition(".")[0] for task in Task))

SIGNS = "oddsmith:worker:"
SIGN_EVERY_S = 10.0
# Three signs may be missed before a worker counts as gone.
SEEN_S = 35

# The keeper asks its connection, which holds the lock, at each turn: Postgres notes when.
KEEPER_AGE = text(
    """
    SELECT extract(epoch FROM clock_timestamp() - activity.state_change)::float8
    FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = 0 AND objid = :lock
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)


def keeper_age_s(session: Session) -> float | None:
    """Return the seconds since the keeper last began a turn of its loops; None where none works."""
    return session.scalar(KEEPER_AGE, {"lock": Lock.KEEPER})


def broker() -> redis.Redis:
    """Return a client of Redis that gives up after 2 s; close it."""
    return redis.Redis.from_url(
        get_settings().redis_url, socket_timeout=2, socket_connect_timeout=2
    )


def workers(client: redis.Redis) -> Counter[str]:
    """Return how many workers of each queue have signed of late. Raises RedisError."""
    names = [key.decode().removeprefix(SIGNS) for key in client.scan_iter(f"{SIGNS}*")]
    return Counter(name.partition("@")[0] for name in names)


def sign(name: str) -> None:
    """Let the worker `QUEUE@HOST` be seen for a while. Raises RedisError."""
    with broker() as client:
        client.set(SIGNS + name, 1, ex=SEEN_S)


def keep_signing(name: str) -> None:
    """Sign for as long as this process lives, through times when Redis is away."""
    while True:
        with suppress(redis.RedisError):
            sign(name)
        time.sleep(SIGN_EVERY_S)
