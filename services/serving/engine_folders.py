"""A folder for each running engine of this machine: its Unix socket, its key, its chat template
where its weights have none, its temporary files.

Only our user may enter it (0700). It lies under /tmp and not under `var`: the path of a Unix socket
has at most 107 bytes, and `var` may be deep. Knows no rows and no processes.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

from services.platform.errors import Unavailable
from services.platform.settings import get_settings

TMP = Path("/tmp")  # noqa: S108 - `_private` checks that no other user made what is ours there
SOCKET, KEY, TEMPLATE = "http", "key", "chat_template.jinja"


def root(var: Path) -> Path:
    """Return the folder that holds the folders of all engines of one `var`."""
    of_var = hashlib.sha256(os.fsencode(var.resolve())).hexdigest()[:8]
    return TMP / f"oddsmith-{os.getuid()}-{of_var}"


def folder(engine_id: str) -> Path:
    return root(get_settings().var) / engine_id.removeprefix("engine-")


def make(engine_id: str, key: str | None, template: str | None = None) -> Path:
    """Make an engine's folder, with a file that holds its key where it has one, and with the chat
    template for weights without one.

    Raises Unavailable where another user has taken the place.
    """
    made = folder(engine_id)
    for path in (made.parent, made):
        path.mkdir(mode=0o700, exist_ok=True)
        _private(path)
    if key is not None:
        descriptor = os.open(made / KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
    if template is not None:
        (made / TEMPLATE).write_text(template)
    return made


def _private(path: Path) -> None:
    """Raise Unavailable unless `path` is a folder that only our user may enter."""
    found = path.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise Unavailable(
            f"{path} belongs to another user, or others may enter it. Remove it, then try again."
        )


def remove(engine_id: str) -> None:
    """Remove the folder of an engine that has ended."""
    shutil.rmtree(folder(engine_id), ignore_errors=True)


def remove_others(engine_ids: Collection[str]) -> None:
    """Remove the folders of all engines but these: what a worker that was killed left behind."""
    kept = {folder(engine_id) for engine_id in engine_ids}
    there = root(get_settings().var)
    for found in there.iterdir() if there.is_dir() else ():
        if found not in kept:
            shutil.rmtree(found, ignore_errors=True)


def remove_all(var: Path) -> None:
    """Remove the folders of all engines of a `var` on which nothing runs any more."""
    shutil.rmtree(root(var), ignore_errors=True)
