"""The embedded Redis: loopback only, a password, and no secret in its arguments."""

from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cli.stack import ports
from cli.stack.process import running
from cli.stack.redis import Redis


def test_it_asks_for_the_password(redis_server: Redis) -> None:
    at_once = Retry(NoBackoff(), retries=0)
    stranger = redis.Redis(host=ports.LOOPBACK, port=redis_server.port, retry=at_once)
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_its_configuration_is_private(tmp_path: Path) -> None:
    server = Redis(tmp_path / "redis", ports.any_free(), "s3cret")
    server.prepare()
    part = server.part()
    assert server.config.stat().st_mode & 0o777 == 0o600
    assert not [word for word in part.argv if "s3cret" in word]
    with running(part, tmp_path) as process:
        assert server.is_ready()
        assert "s3cret" not in process.output()
