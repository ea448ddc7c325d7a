"""A real Chromium for the journeys, from npm, kept in `var/browser` once a checkout."""

import os
import subprocess
import tarfile
from pathlib import Path

from cli.build_page import npm

HERE = Path(__file__).parent / "browser"
ROOT = Path(__file__).resolve().parents[2]
# Without these it asks for addresses outside this machine, at each start.
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def install() -> Path:
    """Return the folder of a browser that starts; npm and unpacking take some 15 s, once."""
    folder = ROOT / "var" / "browser"
    if not (folder / "complete").exists():
        command, env = npm()
        for argv in (
            [*command, "install", "--no-audit", "--no-fund"],
            ["node", "unpack.mjs", str(folder)],
        ):
            subprocess.run(argv, cwd=HERE, env=env, check=True, stdout=subprocess.DEVNULL)
        for name in ("libraries", "fonts"):
            with tarfile.open(folder / f"{name}.tar") as tar:
                tar.extractall(folder, filter="data")
        (folder / "complete").touch()
    return folder


def environment(folder: Path) -> dict[str, str | float | bool]:
    """The machine's own libraries come first: ours are for one that has none."""
    libraries = [os.environ.get("LD_LIBRARY_PATH", ""), "/usr/lib/x86_64-linux-gnu"]
    path = os.pathsep.join([*filter(None, libraries), str(folder / "lib")])
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "LD_LIBRARY_PATH": path, "FONTCONFIG_PATH": str(folder / "fonts")}


def axe_source() -> str:
    return (HERE / "node_modules" / "axe-core" / "axe.min.js").read_text()
