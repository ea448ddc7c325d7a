"""Sends a large file in parts, and goes on from the parts that an earlier attempt has sent.

A small file in the user's state folder remembers which upload belongs to a path. It holds no key.
"""

import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cli.client.http import Client, segment
from cli.view.output import CommandError, ExitCode

# Files above this size are sent in parts.
ABOVE_BYTES = 64 * 2**20
PART_BYTES = 16 * 2**20
# Pauses before a part is sent again; an API that is started again takes a few seconds.
PAUSES_S = (0.5, 1, 2, 4, 8, 16)

Result = TypeVar("Result")


def send(
    client: Client,
    path: Path,
    on_sent: Callable[[int], None],
    resume: str | None = None,
    columns: dict[str, str] | None = None,
    purpose: str = "fine-tune",
) -> Any:
    """Upload a file in parts and return it; `resume` is the id of an upload to go on with.

    Raises CommandError with the upload's id where it has to be continued later.
    """
    memory = _memory(client, path)
    upload = _begun(client, path, resume or _remembered(memory), purpose)
    if upload is None and resume:
        raise CommandError(
            f"The upload {resume} can't be continued with {path.name}: it was cancelled, has "
            "expired, or is of another file. Upload without --resume.",
            ExitCode.REFUSED,
        )
    if upload is None:
        upload = patiently(lambda: client.post("/v1/uploads", _announced(path, columns, purpose)))
        memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        memory.write_text(upload["id"])
    if upload["status"] == "pending":
        try:
            upload = _completed(client, path, upload["id"], on_sent)
        except CommandError as error:
            if error.code == ExitCode.UNREACHABLE:
                again = f"oddsmith files upload {path} --resume {upload['id']}"
                raise CommandError(
                    f"{error.message} What has arrived is kept until the upload expires. Go on "
                    f"with: {again}",
                    error.code,
                ) from error
            raise
    memory.unlink(missing_ok=True)
    if upload["file"] is None:
        raise CommandError(f"The file of the upload {upload['id']} was deleted.", ExitCode.REFUSED)
    return upload["file"]


def _announced(path: Path, columns: dict[str, str] | None, purpose: str) -> dict[str, Any]:
    return {
        "filename": path.name,
        "purpose": purpose,
        "bytes": path.stat().st_size,
        "mime_type": "application/octet-stream",
        **({"columns": columns} if columns else {}),
    }


def _begun(
    client: Client, path: Path, upload_id: str | None, purpose: str
) -> dict[str, Any] | None:
    """Return the upload to go on with; None if there is none, or only one that has ended."""
    if upload_id is None:
        return None
    try:
        upload = patiently(lambda: client.get(f"/v1/uploads/{segment(upload_id)}"))
    except CommandError as error:
        if error.error.get("code") == "not_found":
            return None
        raise
    stated = (upload["bytes"], upload["filename"], upload["purpose"])
    is_this = stated == (path.stat().st_size, path.name, purpose)
    return upload if is_this and upload["status"] in ("pending", "completed") else None


def _completed(client: Client, path: Path, upload_id: str, on_sent: Callable[[int], None]) -> Any:
    """Send the parts that are missing, and complete the upload."""
    known = defaultdict[str, list[str]](list)
    for part in patiently(lambda: client.items(f"/v1/uploads/{segment(upload_id)}/parts")):
        known[part["sha256"]].append(part["id"])
    part_ids, sent_bytes, md5 = [], 0, hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(PART_BYTES):
            md5.update(data)
            part_ids.append(_part(client, upload_id, data, known))
            sent_bytes += len(data)
            on_sent(sent_bytes)
    body = {"part_ids": part_ids, "md5": md5.hexdigest()}
    return patiently(lambda: client.post(f"/v1/uploads/{segment(upload_id)}/complete", body))


def _part(client: Client, upload_id: str, data: bytes, known: dict[str, list[str]]) -> str:
    """Return the id of a part with these bytes: one that has arrived, or one that is sent now."""
    sha256 = hashlib.sha256(data).hexdigest()
    if known[sha256]:
        return known[sha256].pop(0)
    form = {"data": ("part", data, "application/octet-stream")}
    # One key for all attempts: if an answer is lost, the same part is returned.
    key = os.urandom(16).hex()
    path = f"/v1/uploads/{segment(upload_id)}/parts"
    return patiently(lambda: client.form(path, form, {"sha256": sha256}, key))["id"]


def patiently(call: Callable[[], Result]) -> Result:
    """Call; where the API can't be reached, or asks for patience, try again for half a minute."""
    for pause_s in PAUSES_S:
        try:
            return call()
        except CommandError as error:
            is_busy = error.error.get("type") == "rate_limit_error"
            if error.code != ExitCode.UNREACHABLE and not is_busy:
                raise
        time.sleep(pause_s)
    return call()


def _memory(client: Client, path: Path) -> Path:
    """Return where the upload of this very content of a path at this API is remembered."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    facts = path.stat()
    name = f"{client.url} {path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    return Path(base) / "oddsmith" / "uploads" / digest


def _remembered(memory: Path) -> str | None:
    try:
        return memory.read_text() or None
    except OSError:
        return None
