"""`python -m services.files.seed`: adds what every start needs in the database. Idempotent.

The default organisation, the first key (ODDSMITH_FIRST_KEY), a key that reads `/metrics`
(ODDSMITH_WATCH_KEY), and the demo's base if its folder exists.
"""

import logging
import os
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import ApiKey, BaseModelRecord, Organization
from services.access import api_keys
from services.access.callers import OPERATOR, Caller, Scope
from services.files import base_models
from services.platform import logs, storage
from services.platform.database import transaction
from services.platform.errors import OddsmithError
from services.platform.settings import get_settings

logger = logging.getLogger("oddsmith.seed")

ORG_ID = OPERATOR
DEMO_BASE = "SmolLM2-135M-Instruct"


def organization(session: Session) -> Caller:
    """Make sure that the default organisation exists, and return a caller that may do all in it."""
    session.execute(insert(Organization).values(id=ORG_ID, name="default").on_conflict_do_nothing())
    return Caller(ORG_ID, None, frozenset(Scope))


def first_key(session: Session, text: str) -> None:
    """Store the key that may do all."""
    _key(session, "first key", text, Scope)


def watch_key(session: Session, text: str) -> None:
    """Store the key that monitoring reads with."""
    _key(session, "watching", text, [Scope.READ])


def _key(session: Session, name: str, text: str, scopes: Iterable[Scope]) -> None:
    """Store a key unless its hash is there; one that was revoked stays revoked."""
    known = select(ApiKey.id).where(ApiKey.sha256 == api_keys.digest(text))
    if session.scalar(known) is None:
        api_keys.insert(session, ORG_ID, name, text, scopes)


def demo_base(caller: Caller) -> None:
    """Register the demo's base if its folder lies in `var` and no row has its name."""
    path = get_settings().var.absolute() / "models" / DEMO_BASE
    with transaction() as session:
        known = session.get(BaseModelRecord, DEMO_BASE) is not None
    if known or not path.is_dir():
        return
    info = base_models.check_folder(str(path))
    with transaction() as session:
        base_models.register(session, caller, DEMO_BASE, str(path), info)


def main() -> None:
    logs.configure()
    with transaction() as session:
        caller = organization(session)
        if key := os.environ.get("ODDSMITH_FIRST_KEY"):
            first_key(session, key)
        if key := os.environ.get("ODDSMITH_WATCH_KEY"):
            watch_key(session, key)
    storage.remove_partial()
    try:
        demo_base(caller)
    except OddsmithError as error:
        # The product works without it, so a damaged folder must not keep it from starting.
        logger.warning("the demo's base was not registered: %s", error.message)


if __name__ == "__main__":
    main()
