"""A real Chromium for the browser tests, from npm, installed once per checkout in `var/browser`."""

import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from bench.base import made_by_one
from tools.build_page import npm

HERE = Path(__file__).parent / "browser"
ROOT = Path(__file__).resolve().parents[2]
# Without these it contacts external addresses at each start.
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def install() -> Path:
    """Return the folder of a working browser; its installation takes about 15 s, once."""
    folder = ROOT / "var" / "browser"
    with made_by_one(folder):
        if not (folder / "complete").exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    command, env = npm()
    for argv in (
        [*command, "install", "--no-audit", "--no-fund"],
        ["node", "unpack.mjs", str(folder)],
    ):
        subprocess.run(argv, cwd=HERE, env=env, check=True, stdout=subprocess.DEVNULL)
    for name in ("libraries", "fonts"):
        with tarfile.open(folder / f"{name}.tar") as tar:
            tar.extractall(folder)
    (folder / "complete").touch()


def environment(folder: Path) -> dict[str, str | float | bool]:
    """The environment for the browser. The machine's libraries come first; ours are a fallback."""
    libraries = [os.environ.get("LD_LIBRARY_PATH", ""), "/usr/lib/x86_64-linux-gnu"]
    path = os.pathsep.join([*filter(None, libraries), str(folder / "lib")])
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "LD_LIBRARY_PATH": path, "FONTCONFIG_PATH": str(folder / "fonts")}


@contextmanager
def launched() -> Iterator[Browser]:
    folder = install()
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=folder / "chromium", args=QUIET, env=environment(folder)
        )


def context(browser: Browser, url: str, api_key: str) -> BrowserContext:
    """A browser with an empty cache, signed in."""
    # Without a locale, this build reports a language tag that `Intl` rejects.
    made = browser.new_context(base_url=url, locale="en-GB")
    answer = made.request.post("/v1/session", data={"api_key": api_key}, headers={"Origin": url})
    assert answer.ok, answer.text()
    return made


@contextmanager
def signed_in(browser: Browser, url: str, api_key: str) -> Iterator[Page]:
    """A signed-in page; any error in the page fails the test at the end."""
    made = context(browser, url, api_key)
    page = made.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if is_wrong(said) else None)
    yield page
    made.close()
    assert wrong == []


def is_wrong(said: ConsoleMessage) -> bool:
    """Whether a console message is an error; logged answers above 399 may be expected."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


def axe_source() -> str:
    return (HERE / "node_modules" / "axe-core" / "axe.min.js").read_text()
