"""Who asks: the organisation, the key and what the key may do. Knows no HTTP header."""

from dataclasses import dataclass
from enum import StrEnum

from services.errors import Denied


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    org_id: str
    api_key_id: str | None
    scopes: frozenset[str]

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
