"""Adds packages to an environment without changing existing ones: `install_missing.py LOCK`.

vLLM's image has hundreds of packages whose versions fit each other, more than vLLM's metadata
names. So this skips each entry of the lock whose package exists already, and installs the others by
their hashes. If the two don't fit, the build of the image fails. Standard library only.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    return {normal(found.name): found.version for found in distributions()}


# One package: the line of its version, then a line for each hash.
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==[^\s\\]+(?:\s*\\\n\s*--hash=\S+)*", re.MULTILINE)


def missing(lock: str, present: Mapping[str, str]) -> list[str]:
    """Return the packages of a lock that are not installed, each with its hashes."""
    return [found[0] for found in ENTRY.finditer(lock) if normal(found[1]) not in present]


def install(*arguments: str) -> None:
    installer = [sys.executable, "-m", "pip", "install"]
    if find_spec("uv"):
        installer = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    subprocess.run([*installer, *arguments], check=True)


def main() -> int:
    before = installed()
    wanted = missing(Path(sys.argv[1]).read_text(), before)
    with TemporaryDirectory() as folder:
        constraints, hashed, names = (Path(folder) / name for name in ("before", "hashed", "names"))
        constraints.write_text("".join(f"{name}=={found}\n" for name, found in before.items()))
        hashed.write_text("".join(f"{entry}\n" for entry in wanted))
        names.write_text("".join(f"{entry.split()[0]}\n" for entry in wanted))
        install("--no-deps", "--require-hashes", "--requirement", str(hashed), *sys.argv[2:])
        # Nothing may be downloaded from here on: this fails if a dependency is missing or doesn't
        # fit.
        install("--no-index", "--constraint", str(constraints), "--requirement", str(names))
    after = installed()
    changed = [name for name, found in before.items() if after.get(name) != found]
    if changed:
        print(f"These packages of the base image were changed: {', '.join(changed)}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
