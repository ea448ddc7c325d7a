"""Who asks: the organisation, the key and what the key may do. Knows no HTTP header."""

from dataclasses import dataclass
from enum import StrEnum

from services.platform.errors import Denied

# The organisation that runs the installation; every database has it from the first start.
OPERATOR = "org-default"


class Scope(StrEnum):
    """What a key may do, from the narrowest to the widest."""

    READ = "read"
    CHAT = "chat"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    org_id: str
    api_key_id: str | None
    scopes: frozenset[str]

    @property
    def is_operator(self) -> bool:
        """Whether it belongs to those who run the installation, which others only use."""
        return self.org_id == OPERATOR

    def require_operator(self) -> None:
        """Raise Denied for what tells of every organisation's work."""
        if not self.is_operator:
            raise Denied(
                "This tells of the whole installation, so only keys of the organisation that runs "
                "it may read it. Ask its administrators.",
                code="operators_only",
            )

    @property
    def account(self) -> str:
        """What shares and budgets are counted by: the key, or the organisation where none is."""
        return self.api_key_id or self.org_id

    def require(self, scope: str) -> None:
        """Raise Denied unless the key may do what `scope` stands for."""
        if scope not in self.scopes:
            raise Denied(
                f"This API key lacks the scope `{scope}`. Use a key that has it, "
                "or ask an administrator to make one.",
                code="insufficient_scope",
            )
