"""Resolves `requirements.lock` and the images' locks from pyproject.toml: run by `make lock`.

Knows no registry: uv takes the one it is configured with, and no lock names any.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
EXTRAS = ["train", "embedded", "demo", "serve-cpu", "s3", "otel", "dev"]

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

# The images run on CUDA, on x86_64. vLLM's own image, which `serve` is built on, has Python 3.12.
IMAGE_EXTRAS = {
    "api": ["check", "otel", "s3"],
    "train": ["otel", "s3", "train", "train-cuda"],
    "serve": ["otel", "s3", "train"],
}
IMAGE_PYTHON = {"api": "3.11", "train": "3.11", "serve": "3.12"}
ENGINE = "serve-cuda"
IMAGE_HEADER = """\
# Every package of the image `{image}` (docker/Dockerfile): Python {python}, x86_64, CUDA.
# Written by `make lock`; the versions are those of requirements.lock where both name a package.
"""
SERVE_HEADER = """\
# What the serve worker needs beside vLLM's own packages, which its image has already.
# Written by `make lock`; docker/install_missing.py leaves out whatever else the image has.
"""


def compile_lock(extras: Iterable[str], output: Path, *arguments: str, cwd: Path = ROOT) -> None:
    chosen = [argument for extra in extras for argument in ("--extra", extra)]
    options = ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url"]
    command = [sys.executable, "-m", "uv", "pip", "compile", str(ROOT / "pyproject.toml")]
    argv = [*command, *chosen, *options, *arguments, "--output-file", str(output)]
    subprocess.run([*argv, *sys.argv[1:]], cwd=cwd, check=True)


def pins(path: Path) -> dict[str, str]:
    """Return the lines of a lock by package."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {line.partition("==")[0]: line for line in lines if "==" in line}


def lock_image(image: str, folder: Path) -> None:
    """Resolve one image. All get one version of each package, also of those that vLLM asks for.

    Resolved from an empty folder: what [tool.uv] excludes is to be left out of the default
    install only.
    """
    output = ROOT / "docker" / f"requirements-{image}.txt"
    python = IMAGE_PYTHON[image]
    target = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    everything = folder / f"everything-{python}.txt"
    if not everything.exists():
        # What uv finds in the output file are versions that it prefers.
        write(everything, pins(output) | pins(LOCK))
        extras = {extra for extras in IMAGE_EXTRAS.values() for extra in extras}
        compile_lock([*sorted(extras), ENGINE], everything, *target, cwd=folder)
    target += ["--constraint", str(everything)]
    found = folder / f"{image}.txt"
    compile_lock(IMAGE_EXTRAS[image], found, *target, cwd=folder)
    if image != "serve":
        write(output, pins(found), IMAGE_HEADER.format(image=image, python=python))
        return
    engine = folder / "engine.in"
    engine.write_text(pins(everything)["vllm"])
    present = folder / "engine.txt"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate"]
    argv = [*command, str(engine), *target, "--output-file", str(present), *sys.argv[1:]]
    subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    missing = {name: line for name, line in pins(found).items() if name not in pins(present)}
    write(output, missing, SERVE_HEADER)


def write(path: Path, lines: dict[str, str], header: str = "") -> None:
    path.write_text(header + "".join(f"{line}\n" for _, line in sorted(lines.items())))


def main() -> None:
    compile_lock(EXTRAS, LOCK, "--universal", "--python-version", "3.11")
    LOCK.write_text(HEADER + SHARED_MARKER.sub("", LOCK.read_text()))
    with TemporaryDirectory() as folder:
        for image in IMAGE_EXTRAS:
            lock_image(image, Path(folder))


if __name__ == "__main__":
    main()
