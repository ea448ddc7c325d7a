"""Storage keys of what was made of a file. The names are written here alone.

Files that share their bytes have keys of their own: how a file is read depends on more than its
bytes.
"""

from typing import NamedTuple


class Keys(NamedTuple):
    """The accepted rows in normal form; where each of them begins (8 bytes each, the lowest first);
    the rows of each finding of the audit.
    """

    rows: str
    offsets: str
    audit: str


def keys_of(file_id: str) -> Keys:
    """The keys of a file. Some may have nothing stored yet, or never."""
    return Keys(f"files/{file_id}.rows", f"files/{file_id}.offsets", f"files/{file_id}.audit")


def result_id(job_id: str) -> str:
    """The id of a job's result file: made from the job's, so that a repeated end replaces it."""
    return f"file-{job_id.removeprefix('ftjob-')}"


def judged_key(audit_id: str) -> str:
    """The rows of each finding of a deep audit: they come and go with its result file."""
    return keys_of(result_id(audit_id)).audit


def rows_beside(storage_key: str) -> str:
    """Where an older release kept the accepted rows of a file: beside its bytes."""
    return f"{storage_key}.rows"
