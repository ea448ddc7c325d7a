"""What users call a run and say of it: its name, its tags, its notes, and whether it is archived.

None of these changes the run's result: the name of its model keeps the suffix it was created with.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from models import Job
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs import jobs
from services.platform.errors import Invalid, Problems

LONGEST_NAME = 64
LONGEST_NOTES = 4_000
MOST_TAGS = 16
# One line with a visible character; `.strip()` removes the spaces around it.
NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*")
TAG = re.compile(r"[A-Za-z0-9._-]{1,32}")


def edit(session: Session, caller: Caller, job_id: str, changes: Mapping[str, Any]) -> Job:
    """Change the named ones of `name`, `tags`, `notes` and `archived`; the others stay as they are,
    so that of two parallel edits of one field the later one holds.

    A name of None leaves the run with its suffix. Raises Invalid with all that is wrong, and
    NotFound.
    """
    wanted = _checked(changes)
    job = jobs.get(session, caller, job_id, lock=True)
    changed = {name: value for name, value in wanted.items() if getattr(job, name) != value}
    if not changed:
        return job
    for name, value in changed.items():
        setattr(job, name, value)
    audit_log.record(session, caller, Action.EDITED, Object.JOB, job_id, **_logged(changed))
    session.flush()
    return job


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    problems = Problems()
    checked = dict(changes)
    if checked.get("name") is not None:
        with problems.gather():
            checked["name"] = _name(checked["name"])
    if "tags" in checked:
        with problems.gather():
            checked["tags"] = _tags(checked["tags"])
    problems.raise_any()
    return checked


def _name(given: str) -> str:
    if len(given) > LONGEST_NAME or not NAME.fullmatch(given):
        raise Invalid(
            f"A name is one line of 1 to {LONGEST_NAME} characters: shorten it, or put the rest "
            "into the notes.",
            param="name",
        )
    return given.strip()


def _tags(given: Sequence[str]) -> list[str]:
    """Tags in lower case, each once, in the order given."""
    wrong = next((tag for tag in given if not TAG.fullmatch(tag)), None)
    if wrong is not None:
        raise Invalid(
            f"'{wrong}' can't be a tag: use 1 to 32 letters, digits, dots, dashes or underscores.",
            param="tags",
        )
    tags = list(dict.fromkeys(tag.lower() for tag in given))
    if len(tags) > MOST_TAGS:
        raise Invalid(
            f"A run has at most {MOST_TAGS} tags, not {len(tags)}: remove some.", param="tags"
        )
    return tags


def _logged(changed: Mapping[str, Any]) -> dict[str, Any]:
    """The details of the audit log: the new values, but of the notes only their length."""
    details = dict(changed)
    if "notes" in details:
        details["notes_characters"] = len(details.pop("notes"))
    return details
