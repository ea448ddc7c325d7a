"""API keys: made, listed, revoked, recognised. A key's text is shown once and never stored."""

import hashlib
import time
from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import ApiKey, Organization
from models.base import new_id
from services.access import audit_log, key_text
from services.access.audit_log import Action, Object
from services.access.callers import RATER, Caller, Scope
from services.platform.errors import Conflict, Invalid, Unauthenticated, no_such
from services.platform.pages import paginate

CACHE_S = 5.0
# The scopes that a scope includes.
INCLUDED = {
    Scope.VOTE: [Scope.VOTE],
    Scope.READ: [Scope.READ],
    Scope.CHAT: [Scope.VOTE, Scope.READ, Scope.CHAT],
    Scope.WRITE: [Scope.VOTE, Scope.READ, Scope.CHAT, Scope.WRITE],
    Scope.ADMIN: list(Scope),
}
# Hash of a valid key -> its caller, and when the entry expires. Wrong keys are not stored, so there
# are never more entries than keys.
_known: dict[str, tuple[Caller, float]] = {}


def digest(key: str) -> str:
    """Return the SHA-256, as hex digits, by which a key or a token is found again."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def cached(key: str) -> Caller | None:
    """Return the caller of a key that was recognised within the last 5 seconds, without a query."""
    caller, until = _known.get(digest(key), (None, 0.0))
    return caller if time.monotonic() < until else None


def authenticate(session: Session, key: str) -> Caller:
    """Return the caller of a key, or raise Unauthenticated."""
    # Looked up by its hash, which a client can't choose byte by byte. So the duration of the search
    # reveals nothing about a key, and no comparison in constant time is needed.
    sha256 = digest(key)
    record = session.scalar(
        select(ApiKey).where(ApiKey.sha256 == sha256, ApiKey.revoked_at.is_(None))
    )
    if record is None:
        raise Unauthenticated(
            "This API key is not known here, or it was revoked. Check the key and the base URL."
        )
    caller = caller_of(record)
    _known[sha256] = (caller, time.monotonic() + CACHE_S)
    return caller


def caller_of(key: ApiKey) -> Caller:
    """Return the caller of a key; does not check whether it was revoked."""
    return Caller(key.org_id, key.id, frozenset(scopes_of(key)), key.evaluation_id)


def scopes_of(key: ApiKey) -> list[Scope]:
    """Return the scopes of a key, which may be from before `chat` and `vote` existed.

    `write` includes `chat`, and `chat` includes `vote`.
    """
    found = set(key.scopes)
    found |= {Scope.CHAT} if Scope.WRITE in found else set()
    found |= {Scope.VOTE} if Scope.CHAT in found else set()
    return [scope for scope in Scope if scope in found]


def revoked(session: Session, key_ids: Collection[str]) -> set[str]:
    """Return which of these keys are no longer valid."""
    if not key_ids:
        return set()
    standing = select(ApiKey.id).where(ApiKey.id.in_(key_ids), ApiKey.revoked_at.is_(None))
    return set(key_ids) - set(session.scalars(standing))


def create(
    session: Session,
    caller: Caller,
    name: str,
    scopes: Iterable[str],
    evaluation_id: str | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return its record and its text, which can't be had again.

    A wider scope includes the narrower ones: admin > write > chat > read and vote. `vote` alone is
    for a rater, and for the cards of one evaluation, which the caller of this function has looked
    up. Raises Invalid.
    """
    given = {Scope(scope) for scope in scopes}
    _check_rater(given, evaluation_id)
    wanted = {part for scope in given for part in INCLUDED[scope]}
    if not wanted:
        raise Invalid("A key needs a scope: vote, read, chat, write or admin.", param="scopes")
    text = key_text.new()
    record = insert(session, caller.org_id, name, text, wanted, evaluation_id)
    bound = {"evaluation_id": evaluation_id} if evaluation_id else {}
    audit_log.record(
        session, caller, Action.CREATED, Object.API_KEY, record.id,
        name=name, scopes=record.scopes, **bound,
    )  # fmt: skip
    return record, text


def _check_rater(scopes: Collection[Scope], evaluation_id: str | None) -> None:
    """Raise Invalid unless a key is for an evaluation exactly if `vote` is its only scope."""
    is_rater = set(scopes) == RATER
    if is_rater and evaluation_id is None:
        raise Invalid(
            "A key with the scope `vote` alone is for the cards of one evaluation. Name it.",
            param="evaluation_id",
        )
    if evaluation_id is not None and not is_rater:
        raise Invalid(
            "Only a key with the scope `vote` alone is for one evaluation. Send that scope, or "
            "leave the evaluation out.",
            param="evaluation_id",
        )


def insert(
    session: Session,
    org_id: str,
    name: str,
    text: str,
    scopes: Iterable[str],
    evaluation_id: str | None = None,
) -> ApiKey:
    """Store a key whose text is given: only its hash and a hint of it are kept."""
    record = ApiKey(
        id=new_id("key"),
        org_id=org_id,
        name=name,
        hint=f"{text[:10]}...{text[-4:]}",
        sha256=digest(text),
        scopes=[scope for scope in Scope if scope in set(scopes)],
        evaluation_id=evaluation_id,
    )
    session.add(record)
    session.flush()
    return record


def list_page(
    session: Session,
    caller: Caller,
    *,
    evaluation_id: str | None = None,
    after: str | None,
    limit: int,
    order: str,
) -> Iterator[ApiKey]:
    """Yield the organisation's keys that were not revoked, and one beyond the limit; with
    `evaluation_id`, those of its raters.
    """
    query = select(ApiKey).where(ApiKey.org_id == caller.org_id, ApiKey.revoked_at.is_(None))
    if evaluation_id is not None:
        query = query.where(ApiKey.evaluation_id == evaluation_id)
    return paginate(
        session, query, ApiKey.created_at, ApiKey.id, after=after, limit=limit, order=order
    )


def revoke(session: Session, caller: Caller, key_id: str) -> ApiKey:
    """End a key, here at once and in other processes within 5 s. The last admin key stays."""
    # Two requests that each revoke the other's key must not leave the organisation locked out.
    session.execute(
        select(Organization.id).where(Organization.id == caller.org_id).with_for_update()
    )
    record = session.get(ApiKey, key_id)
    if record is None or record.org_id != caller.org_id or record.revoked_at is not None:
        raise no_such("API key", key_id, "key_id", "GET /v1/api_keys")
    if Scope.ADMIN in record.scopes and _admin_keys(session, caller) == 1:
        raise Conflict(
            "This is the last key with the scope `admin`. Create another one first.",
            param="key_id",
            code="last_admin_key",
        )
    _end(session, caller, record)
    return record


def revoke_raters(session: Session, caller: Caller, evaluation_id: str) -> None:
    """End the keys of an evaluation's raters."""
    query = select(ApiKey).where(
        ApiKey.org_id == caller.org_id,
        ApiKey.evaluation_id == evaluation_id,
        ApiKey.revoked_at.is_(None),
    )
    for record in session.scalars(query).all():
        _end(session, caller, record)


def _end(session: Session, caller: Caller, record: ApiKey) -> None:
    record.revoked_at = func.clock_timestamp()
    _known.pop(record.sha256, None)
    audit_log.record(session, caller, Action.REVOKED, Object.API_KEY, record.id, name=record.name)
    session.flush()


def _admin_keys(session: Session, caller: Caller) -> int:
    return session.execute(
        select(func.count())
        .select_from(ApiKey)
        .where(
            ApiKey.org_id == caller.org_id,
            ApiKey.revoked_at.is_(None),
            ApiKey.scopes.contains([Scope.ADMIN]),
        )
    ).scalar_one()
