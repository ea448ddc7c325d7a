"""A model hub, through `huggingface_hub`. The library's setting HF_ENDPOINT chooses the hub.

Only the parts of a base model are fetched: weights as safetensors, configuration, tokenizer. A
download is a process of its own (`python -m services.files.hub`), so that it can be ended if the
hub is slow or hangs.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2  # the HTTP client of huggingface_hub, which passes its errors through
from huggingface_hub import HfApi, constants, set_client_factory, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from services.platform import egress
from services.platform.errors import DiskFull, Invalid, OddsmithError, Unavailable, is_disk_full
from services.platform.settings import get_settings
from services.processes import verbs

WANTED = ("*.safetensors", "*.json", "tokenizer.model", "*.jinja", "*.txt")
COMMIT = re.compile(r"[0-9a-f]{40}")
MAX_FILES = 10_000
ROOM_BYTES = 2**30  # left free on the disk for all else
TIMEOUT_S = 30  # of an answer's next bytes
WINDOW_S = 60  # over which a download's rate is measured
POLL_S = 0.5
# What the process needs beside a verb's environment: the hub, the token and certificates.
PASSED = ("HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
ERRORS = {kind.__name__: kind for kind in (Invalid, Unavailable, DiskFull)}

set_client_factory(lambda: egress.client(follow_redirects=True, timeout=TIMEOUT_S))


def resolve(hub_id: str, revision: str | None) -> str:
    """Return the commit, 40 hex digits, that `revision` (or the default branch) of `hub_id` stands
    for now.
    """
    with speaking(hub_id, revision):
        found = HfApi(endpoint=_endpoint()).model_info(hub_id, revision=revision, timeout=10)
    return _pinned(hub_id, found.sha)


def _pinned(hub_id: str, commit: str | None) -> str:
    if commit is None or not COMMIT.fullmatch(commit):
        raise Unavailable(
            f"The hub names no commit of `{hub_id}` (40 hex digits). Try again later.", param="id"
        )
    return commit


def download(
    hub_id: str, commit: str | None, folder: Path, meanwhile: Callable[[], None] | None = None
) -> None:
    """Fetch that commit into `folder`, going on where an earlier attempt ended.

    `meanwhile` is called twice a second; an error in it ends the download. Raises Unavailable if
    the hub is too slow, and the errors of `fetch`.
    """
    command = [
        sys.executable,
        "-m",
        "services.files.hub",
        hub_id,
        _pinned(hub_id, commit),
        str(folder),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # the process ends itself when this pipe closes
        stdout=subprocess.PIPE,
        env=_environment(" ".join(command)),
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            _follow(process, hub_id, folder, meanwhile)
        finally:
            process.kill()
        output = process.stdout.read() if process.stdout else b""
    _conclude(output)


def _environment(mark: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name.startswith("ODDSMITH_EGRESS")}
    proxies = {name: v for name, v in os.environ.items() if name.lower().endswith("_proxy")}
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    # Xet has its own client, which does not check the addresses that it connects to.
    fixed = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return verbs.environment(mark, {**ours, **proxies, **passed, **fixed})


def _follow(
    process: subprocess.Popen[bytes],
    hub_id: str,
    folder: Path,
    meanwhile: Callable[[], None] | None,
) -> None:
    """Wait until the process ends; raises Unavailable if it takes too long."""
    settings = get_settings()
    began = window = time.monotonic()
    had = _size_bytes(folder)
    while True:
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
        if meanwhile:
            meanwhile()
        now = time.monotonic()
        if now - began > settings.download_s:
            raise _too_slow(hub_id, f"took longer than {settings.download_s:.0f} s")
        if now - window > WINDOW_S:
            has = _size_bytes(folder)
            if has - had < settings.download_bytes_s * (now - window):
                raise _too_slow(hub_id, f"came at less than {settings.download_bytes_s:.0f} B/s")
            window, had = now, has


def _too_slow(hub_id: str, what: str) -> Unavailable:
    return Unavailable(
        f"The download of `{hub_id}` {what} and was ended. What was fetched stays: register the "
        "model again to go on, or copy its folder here and register it with `path`.",
        param="id",
        code="hub_too_slow",
    )


def _size_bytes(folder: Path) -> int:
    found = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        try:
            found += path.lstat().st_size
        except OSError:
            continue  # renamed meanwhile
    return found


def _conclude(output: bytes) -> None:
    """Raise what the process raised; one without output was killed."""
    try:
        answer = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        raise Unavailable(
            "The download was ended from outside. The machine may be short of memory: register "
            "the model again.",
            param="id",
        ) from None
    if answer:
        kind = ERRORS.get(answer.pop("kind"), OddsmithError)
        raise kind(answer["message"], param=answer["param"], code=answer["code"])


def fetch(hub_id: str, commit: str, folder: Path) -> None:
    """Fetch that commit here and now. Raises Invalid, Unavailable or DiskFull."""
    with speaking(hub_id, commit):
        api = HfApi(endpoint=_endpoint())
        listed = api.model_info(hub_id, revision=commit, files_metadata=True).siblings or []
        files = {file.rfilename: file.size or 0 for file in listed if _is_wanted(file.rfilename)}
        _check_room(hub_id, files, folder)
        snapshot_download(
            hub_id,
            revision=commit,
            local_dir=folder,
            allow_patterns=[glob.escape(name) for name in files],
            endpoint=_endpoint(),
            max_workers=4,
        )


def _is_wanted(name: str) -> bool:
    """Loaders read no subfolder except that of further templates."""
    folder, _, last = name.rpartition("/")
    return folder in ("", "additional_chat_templates") and any(fnmatch(last, p) for p in WANTED)


def _check_room(hub_id: str, files: dict[str, int], folder: Path) -> None:
    if len(files) > MAX_FILES:
        raise Invalid(f"`{hub_id}` has more than {MAX_FILES:,} files.", param="id")
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free + _size_bytes(folder)
    needed = sum(files.values())
    if needed + ROOM_BYTES > free:
        raise DiskFull(
            f"`{hub_id}` has {needed / 2**30:.1f} GiB, and the disk that keeps base models has "
            f"{free / 2**30:.1f} GiB left: free some space there and register the model again.",
            param="id",
        )


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


@contextmanager
def speaking(hub_id: str, revision: str | None) -> Iterator[None]:
    """Turn a hub's refusal into Invalid, a full disk into DiskFull, the rest into Unavailable."""
    try:
        yield
    except RevisionNotFoundError:
        raise Invalid(
            f"`{hub_id}` has no revision `{revision}`. Name a branch, a tag or a commit of it.",
            param="revision",
        ) from None
    except GatedRepoError:
        raise Invalid(
            f"`{hub_id}` is gated. Accept its terms on the hub and set HF_TOKEN.", param="id"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise Invalid(
            f"The hub has no model `{hub_id}`. Correct the id, or register a folder with `path`.",
            param="id",
        ) from None
    except (httpx2.HTTPError, OSError) as error:
        if is_disk_full(error):
            raise DiskFull(
                "The disk that keeps base models is full: free some space there and register the "
                "model again; what was fetched stays.",
                param="id",
            ) from None
        raise Unavailable(
            f"The model hub can't be reached ({type(error).__name__}). Copy the model's folder to "
            "this machine and register it with `path`, or set HF_ENDPOINT to a mirror.",
            param="id",
            code="hub_unreachable",
        ) from None


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main(hub_id: str, commit: str, folder: str) -> None:
    """Fetch, and print the error as a JSON object, or an empty object."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    constants.DOWNLOAD_CHUNK_SIZE = 2**16  # written as they come, so that the rate can be measured
    output: dict[str, Any] = {}
    try:
        fetch(hub_id, commit, Path(folder))
    except Exception as error:  # noqa: BLE001  the process that started this one raises it again
        if not isinstance(error, OddsmithError):
            traceback.print_exc()
            error = Unavailable(f"The download broke off ({type(error).__name__}: {error}).")
        kind = type(error).__name__
        output = {"kind": kind if kind in ERRORS else "Unavailable", "message": error.message}
        output |= {"param": error.param or "id", "code": error.code}
    print(json.dumps(output), flush=True)  # noqa: T201  read by the process that started this one


if __name__ == "__main__":
    main(*sys.argv[1:])
