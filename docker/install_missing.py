"""Adds packages to an environment without touching any that is there: `install_missing.py LOCK`.

vLLM's image carries hundreds of packages whose versions fit each other, and more than vLLM's
metadata names. So each line of the lock whose package is there already is left out, and what is
there becomes a constraint of the rest: where the two don't fit, the build of the image fails.
Standard library only.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    return {normal(found.name): found.version for found in distributions()}


def missing(lock: Iterable[str], present: Mapping[str, str]) -> list[str]:
    lines = [line.strip() for line in lock if "==" in line]
    return [line for line in lines if normal(line.partition("==")[0]) not in present]


def main() -> int:
    before = installed()
    wanted = missing(Path(sys.argv[1]).read_text().splitlines(), before)
    if find_spec("uv"):
        installer = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    else:
        installer = [sys.executable, "-m", "pip", "install"]
    with TemporaryDirectory() as folder:
        constraints, requirements = Path(folder) / "constraints", Path(folder) / "requirements"
        constraints.write_text("".join(f"{name}=={found}\n" for name, found in before.items()))
        requirements.write_text("\n".join(wanted))
        options = ["--constraint", str(constraints), "--requirement", str(requirements)]
        subprocess.run([*installer, *options, *sys.argv[2:]], check=True)
    after = installed()
    changed = [name for name, found in before.items() if after.get(name) != found]
    if changed:
        print(f"These packages of the base image were changed: {', '.join(changed)}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
