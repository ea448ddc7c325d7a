"""Resolves `requirements.lock` from pyproject.toml: run by `make lock`.

Knows no registry: uv takes the one it is configured with, and the lock names none.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
EXTRAS = ["train", "embedded", "demo", "serve-cpu", "s3", "dev"]

HEADER = """\
# Every package of the default install but torch and what [tool.uv] in pyproject.toml excludes.
# Written by `make lock`; installed with --no-deps by cli/install.py.
"""
# One lock for both architectures; the marker that all lines would share says nothing.
SHARED_MARKER = re.compile(
    r" ; \(platform_machine == 'aarch64' or platform_machine == 'x86_64'\)"
    r" and sys_platform == 'linux'$",
    re.MULTILINE,
)


def resolve() -> None:
    extras = [argument for extra in EXTRAS for argument in ("--extra", extra)]
    options = ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url"]
    target = ["--universal", "--python-version", "3.11", "--output-file", str(LOCK)]
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml"]
    subprocess.run([*command, *extras, *options, *target, *sys.argv[1:]], cwd=ROOT, check=True)


def main() -> None:
    resolve()
    LOCK.write_text(HEADER + SHARED_MARKER.sub("", LOCK.read_text()))


if __name__ == "__main__":
    main()
