"""Acts as a compromised training core: tries to escape, and prints the results as JSON.

`attempts.json` in the first folder among its arguments lists the attempts. Standard library only.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def read(path: str) -> str:
    return Path(path).read_text()


def write(path: str) -> str:
    with Path(path).open("a"):
        return path


def connect(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=2):
        return f"{host}:{port}"


def connect_unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return path


def signal(pid: int) -> int:
    os.kill(pid, 0)
    if pid in (os.getpid(), os.getppid()) or not Path(f"/proc/{pid}").exists():
        raise ProcessLookupError(pid)
    return pid


def see(mark: str) -> str:
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        if mark in line.read_text(errors="replace"):
            return mark
    raise ProcessLookupError(mark)


def list_folder(path: str) -> list[str]:
    found = [entry.name for entry in Path(path).iterdir()]
    if not found:
        raise FileNotFoundError(path)
    return found


def allocate(n_bytes: int) -> int:
    return len(bytearray(n_bytes))


def allocate_together(n_bytes: int, n: int) -> int:
    """Start processes that are each below the limit of one process, but together above it."""
    hold = f"import time; kept = b'x' * {n_bytes}; time.sleep(30)"
    held = [subprocess.Popen([sys.executable, "-IS", "-c", hold]) for _ in range(n)]
    time.sleep(3)
    for process in held:
        process.kill()
    return n


def multiply(n: int) -> int:
    started = [subprocess.Popen(["sleep", "30"]) for _ in range(n)]
    time.sleep(2)
    for process in started:
        process.kill()
    return len(started)


def spin() -> None:
    while True:
        pass


def fill(path: str, n_bytes: int) -> int:
    try:
        return Path(path).write_bytes(bytes(n_bytes))
    finally:
        Path(path).unlink(missing_ok=True)


def leave(seconds: int) -> int:
    """Start a process in a session of its own, then hang."""
    subprocess.Popen(["sleep", str(seconds)], start_new_session=True)
    time.sleep(seconds)
    return seconds


def tell(attempt: str, arguments: list) -> object:
    try:
        return globals()[attempt](*arguments)
    except (OSError, MemoryError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return None


if __name__ == "__main__":
    paths = [Path(word) for word in sys.argv if word.startswith("/")]
    folder = next(path for path in paths if path.is_dir())
    attempts = json.loads((folder / "attempts.json").read_text())
    sys.stdout.write(json.dumps({name: tell(*attempt) for name, attempt in attempts.items()}))
