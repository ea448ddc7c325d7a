"""Is everything there that a request needs? Asks Postgres and Redis, changes nothing."""

from functools import lru_cache
from pathlib import Path

import redis
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import migrations
from services.database import transaction
from services.errors import OddsmithError
from services.settings import get_settings


def missing() -> list[str]:
    """Return one sentence for each part that isn't ready; an empty list means all are."""
    return [sentence for sentence in (database(), broker()) if sentence]


def database() -> str | None:
    try:
        with transaction() as session:
            session.execute(text("SELECT 1"))
            exists = session.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
            found = session.scalar(text("SELECT version_num FROM alembic_version")) if exists else 0
    except (SQLAlchemyError, OddsmithError):
        return "Postgres does not answer. Check that it runs and ODDSMITH_DATABASE_URL."
    if found != head():
        at = found or "none"
        return f"The database is at migration {at}, not {head()}: run `alembic upgrade head`."
    return None


def broker() -> str | None:
    url = get_settings().redis_url
    try:
        if url:
            client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
            with client:
                client.ping()
            return None
    except redis.RedisError:
        pass
    return "Redis does not answer. Check that it runs and ODDSMITH_REDIS_URL."


@lru_cache
def head() -> str | None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    return ScriptDirectory.from_config(config).get_current_head()
