"""Files that are made of votes: ordinary files of pairs that name what they were made of."""

import hashlib

from sqlalchemy.orm import Session

from models.base import new_id
from models.files import FilePurpose
from services.access.callers import Caller
from services.files import files
from services.files.files import Received
from services.platform import storage
from services.platform.errors import Conflict
from services.votes import pairs
from services.votes.votes import Filter

SUFFIX = ".jsonl"
NAME = "votes.jsonl"


def write(session: Session, caller: Caller, wanted: Filter, filename: str | None) -> Received:
    """Store the bytes of the pairs that votes become; the caller registers them.

    Raises Conflict if no vote becomes a pair, and TooLarge.
    """
    found = pairs.find(session, caller, wanted)
    if not found.rows:
        raise Conflict(
            f"None of {found.counts.votes} votes becomes a pair: see the preview for why.",
            param="filter",
            code="no_pairs",
        )
    name, key = _name(filename), f"files/{new_id('upload')}"
    size_bytes, digest = 0, hashlib.sha256()
    with storage.writing(key) as sink:
        for line in found.lines():
            size_bytes += len(line)
            files.check(name, FilePurpose.PAIRS, size_bytes)
            sink.write(line)
            digest.update(line)
    made_from = {"votes": wanted.as_json(), "counts": found.counts_as_json()}
    sha256 = digest.hexdigest()
    return Received(key, name, FilePurpose.PAIRS, size_bytes, sha256, made_from=made_from)


def _name(filename: str | None) -> str:
    name = files.safe_name(filename or NAME) or NAME
    return name if name.endswith(SUFFIX) else f"{name[: files.MAX_FILENAME - len(SUFFIX)]}{SUFFIX}"
