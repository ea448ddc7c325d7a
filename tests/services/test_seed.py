"""Seeding: rows that the product needs are made once, however often it starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from models import ApiKey, BaseModelRecord, Organization
from services.access import api_keys
from services.files import base_models, seed
from services.platform import database
from services.platform.database import transaction
from services.platform.errors import Invalid
from services.platform.settings import get_settings
from services.upkeep import health

KEY = "sk-odd-first"


@pytest.fixture
def product(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("ODDSMITH_DATABASE_URL", database_url)
    monkeypatch.setenv("ODDSMITH_REDIS_URL", redis_url)
    monkeypatch.setenv("ODDSMITH_VAR", str(tmp_path))
    monkeypatch.setenv("ODDSMITH_FIRST_KEY", KEY)
    forget()
    yield monkeypatch
    database.engine().dispose()
    forget()


def forget() -> None:
    for cached in (get_settings, database.engine, database._sessions):
        cached.cache_clear()


def test_twice_is_once(product: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checks = []
    folder = tmp_path / "models" / seed.DEMO_BASE
    folder.mkdir(parents=True)
    product.setattr(base_models, "check_folder", lambda path: checks.append(path) or {"size": 1})
    for _ in range(2):
        seed.main()
    with transaction() as session:
        counts = [
            session.scalar(select(func.count()).select_from(noun))
            for noun in (Organization, ApiKey, BaseModelRecord)
        ]
        caller = api_keys.authenticate(session, KEY)
    assert counts == [1, 1, 1]
    assert caller.scopes == {"vote", "read", "chat", "write", "admin"}
    assert checks == [str(folder)]


def test_a_damaged_demo_base_does_not_stop_a_start(
    product: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: str) -> None:
        raise Invalid("There are no weights.")

    (tmp_path / "models" / seed.DEMO_BASE).mkdir(parents=True)
    product.setattr(base_models, "check_folder", fail)
    seed.main()
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(BaseModelRecord)) == 0


def test_readiness_names_what_is_missing(product: pytest.MonkeyPatch) -> None:
    assert health.missing() == []
    product.setattr(health, "head", lambda: "9999")
    product.setenv("ODDSMITH_REDIS_URL", "redis://127.0.0.1:9/0")
    get_settings.cache_clear()
    migration, redis = health.missing()
    assert "alembic upgrade head" in migration
    assert "Redis does not answer" in redis
