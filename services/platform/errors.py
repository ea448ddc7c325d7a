"""Errors of the product. They know no HTTP: `api/errors.py` maps them to status codes.

A message is a sentence that tells what to do; `param` names the field that caused it.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orpo.contract.failures import Code


class OddsmithError(Exception):
    """Base of all: `message` for people, `code` for programs, `param` for the field at fault."""

    default_code = "error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code


class Invalid(OddsmithError):
    default_code = "invalid_value"


class Several(Invalid):
    """Several fields of a request are wrong. The message and the field are those of the first."""

    def __init__(self, found: Sequence[Invalid]) -> None:
        first = found[0]
        super().__init__(first.message, param=first.param, code=first.code)
        self.found = list(found)


class Problems:
    """Gathers what independent checks of a request find, so that all of it is reported at once."""

    def __init__(self) -> None:
        self.found: list[Invalid] = []

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Keep the Invalid that the block raises, and go on after the block."""
        try:
            yield
        except Several as error:
            self.found += error.found
        except Invalid as error:
            self.found.append(error)

    def raise_any(self) -> None:
        """Raise what was found: the error itself if it is the only one."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise Several(self.found)


class NotFound(OddsmithError):
    default_code = "not_found"


def no_such(noun: str, identifier: str, param: str, listed_at: str | None = None) -> NotFound:
    """The error for an id that the caller's organisation has no object of.

    `listed_at` is the request that lists those it has, such as `GET /v1/files`.
    """
    hint = f" List yours with {listed_at}." if listed_at else ""
    return NotFound(f"No {noun} has the id `{identifier}`.{hint}", param=param)


class Conflict(OddsmithError):
    """The request is well formed but the state forbids it; retrying won't help."""

    default_code = "conflict"


class Denied(OddsmithError):
    default_code = "permission_denied"


class Unauthenticated(Denied):
    default_code = "invalid_api_key"


class TooLarge(Invalid):
    default_code = "too_large"


class Mismatch(Invalid):
    """An idempotency key was used again with another body (HTTP 422)."""

    default_code = "idempotency_mismatch"


class Unavailable(OddsmithError):
    """A part the request needs is down; trying again later may help."""

    default_code = "unavailable"


class RateLimited(OddsmithError):
    """A key has reached a limit; trying again after `retry_after_s` may help."""

    default_code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_s: float, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class DiskFull(OddsmithError):
    """The disk has no room for the request; trying again helps once there is room."""

    default_code = Code.DISK_FULL


class Fenced(OddsmithError):
    """A newer claim holds the job: the caller must stop and kill its process tree."""

    default_code = "fenced"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether the system refused a write because a disk, or a quota on it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
