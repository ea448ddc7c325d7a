"""Checks the parts that requests need, Postgres and Redis, and the workers. Changes nothing."""

from functools import lru_cache
from pathlib import Path

import redis
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import migrations
from services.jobs import workers
from services.platform import locks, queue, run_folder
from services.platform.database import transaction
from services.platform.errors import OddsmithError
from services.platform.settings import get_settings

# A turn of the keeper takes well under a second.
KEEPER_SILENT_S = 30


def missing() -> list[str]:
    """Return one sentence for each part that isn't ready; an empty list means all are."""
    return [sentence for sentence in (database(), broker()) if sentence]


def degraded() -> list[str]:
    """Return one sentence for each missing part without which requests are served but work waits.

    Call it only if nothing is `missing`. Requests don't need these parts, so a worker that is down
    must not take the API out of service.
    """
    try:
        with transaction() as session:
            age_s = locks.silent_s(session, locks.Lock.KEEPER)
            stranger = run_folder.stranger(session)
            n_outdated = workers.n_outdated(session)
            alive = workers.n_of_queues(session)
    except (SQLAlchemyError, OddsmithError):
        return []  # it failed after `missing` was called; the next call reports it
    waiting = [
        f"No worker of the queue `{name}` was seen for {workers.silent_s():.0f} s: its work waits."
        for name in queue.QUEUES
        if not alive[name]
    ]
    return [*filter(None, [keeper(age_s), stranger, old(n_outdated)]), *waiting]


def old(n_workers: int) -> str | None:
    """Say how many workers are of an older release. It names none, since `/readyz` needs no key."""
    if not n_workers:
        return None
    return (
        f"Train workers of an older release, which leave newer jobs alone: {n_workers}. "
        "Upgrade them. GET /v1/workers names them."
    )


def keeper(age_s: float | None) -> str | None:
    if age_s is None:
        return "No keeper is at work: nothing is published, and no lost job is taken back."
    if age_s > KEEPER_SILENT_S:
        return f"The keeper has not ended a turn for {age_s:.0f} s: its log may tell why."
    return None


def database() -> str | None:
    try:
        with transaction() as session:
            session.execute(text("SELECT 1"))
            exists = session.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
            found = session.scalar(text("SELECT version_num FROM alembic_version")) if exists else 0
    except (SQLAlchemyError, OddsmithError):
        return "Postgres does not answer. Check that it runs and ODDSMITH_DATABASE_URL."
    # An unknown migration is of a newer release, whose schema works with this release, too.
    if found != head() and (not found or found in revisions()):
        at = found or "none"
        return f"The database is at migration {at}, not {head()}: run `alembic upgrade head`."
    return None


def broker() -> str | None:
    try:
        if get_settings().redis_url:
            with queue.broker() as client:
                client.ping()
            return None
    except redis.RedisError:
        pass
    return "Redis does not answer. Check that it runs and ODDSMITH_REDIS_URL."


def head() -> str | None:
    """The newest migration of this release."""
    return _scripts().get_current_head()


@lru_cache
def revisions() -> frozenset[str]:
    """All migrations of this release."""
    return frozenset(script.revision for script in _scripts().walk_revisions())


@lru_cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())


def config() -> Config:
    """Alembic's configuration, without a database."""
    found = Config()
    found.set_main_option("script_location", str(Path(migrations.__path__[0])))
    return found
