"""Signing a browser in: with an API key, or with a link that works once.

The browser gets a random token. The row holds the token's hash and the id of the key. A sign-in
ends when its key is revoked. Knows no HTTP cookie: `api/routes/session.py` sets it.
"""

import secrets
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from models import ApiKey, SignIn
from services.access import api_keys, audit_log
from services.access.api_keys import digest
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.platform.errors import Invalid, Unauthenticated

SIGNED_IN = timedelta(days=30)
LINK = timedelta(minutes=30)


def with_key(session: Session, key: str) -> tuple[str, SignIn]:
    """Sign a browser in for an API key's text. Raises Unauthenticated for an unknown one."""
    caller = api_keys.authenticate(session, key)
    audit_log.record(session, caller, Action.CREATED, Object.SIGN_IN, _key_id(caller), link=False)
    return _issue(session, _key_id(caller), is_link=False)


def make_link(session: Session, caller: Caller) -> tuple[str, SignIn]:
    """Return the token of a link that signs one browser in for the caller's key."""
    made = _issue(session, _key_id(caller), is_link=True)
    # The entry names the key, because only the hash of a link may be stored.
    audit_log.record(session, caller, Action.CREATED, Object.SIGN_IN, _key_id(caller), link=True)
    return made


def with_link(session: Session, token: str) -> tuple[str, SignIn]:
    """Sign a browser in and delete the link; of two simultaneous requests, one succeeds."""
    used = session.scalar(
        delete(SignIn)
        .where(
            SignIn.sha256 == digest(token),
            SignIn.is_link,
            SignIn.expires_at > func.clock_timestamp(),
        )
        .returning(SignIn.api_key_id)
    )
    if used is None:
        raise Unauthenticated(
            "This link was used before, or it is too old. Paste an API key, or make a new link "
            "with `oddsmith open`.",
            code="link_used",
            param="token",
        )
    caller = api_keys.caller_of(session.get_one(ApiKey, used))
    audit_log.record(session, caller, Action.CREATED, Object.SIGN_IN, used, link=False)
    return _issue(session, used, is_link=False)


def authenticate(session: Session, token: str) -> Caller:
    """Return the caller of a browser. Raises Unauthenticated if its sign-in has ended."""
    return api_keys.caller_of(current(session, token)[1])


def current(session: Session, token: str) -> tuple[SignIn, ApiKey]:
    """Return a browser's sign-in and its key, or raise Unauthenticated."""
    found = session.execute(
        select(SignIn, ApiKey)
        .join(ApiKey, ApiKey.id == SignIn.api_key_id)
        .where(
            SignIn.sha256 == digest(token),
            SignIn.is_link.is_(False),
            SignIn.expires_at > func.clock_timestamp(),
            ApiKey.revoked_at.is_(None),
        )
    ).first()
    if found is None:
        raise Unauthenticated("You are signed out. Sign in again.", code="signed_out")
    return found[0], found[1]


def ended(session: Session, digests: Collection[str]) -> set[str]:
    """Return which of these hashes of browsers' tokens are no longer valid."""
    if not digests:
        return set()
    standing = select(SignIn.sha256).where(
        SignIn.sha256.in_(digests), SignIn.expires_at > func.clock_timestamp()
    )
    return set(digests) - set(session.scalars(standing))


def end(session: Session, token: str) -> None:
    """Sign a browser out; does nothing if it is signed out already."""
    session.execute(delete(SignIn).where(SignIn.sha256 == digest(token)))


def forget_expired(session: Session) -> None:
    """Delete expired sign-ins and links."""
    session.execute(delete(SignIn).where(SignIn.expires_at <= func.clock_timestamp()))


def _issue(session: Session, api_key_id: str, *, is_link: bool) -> tuple[str, SignIn]:
    token = secrets.token_urlsafe(32)
    record = SignIn(
        sha256=digest(token),
        api_key_id=api_key_id,
        is_link=is_link,
        expires_at=func.clock_timestamp() + (LINK if is_link else SIGNED_IN),
    )
    session.add(record)
    session.flush()
    return token, record


def _key_id(caller: Caller) -> str:
    if caller.api_key_id is None:
        raise Invalid("Only an API key can sign a browser in.", param="api_key")
    return caller.api_key_id
