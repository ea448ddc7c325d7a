"""The caller: its organisation, its key and what the key may do. Knows no HTTP header."""

from dataclasses import dataclass
from enum import StrEnum

from services.platform.errors import Denied

# The organisation that runs the installation; every database has it from the first start.
OPERATOR = "org-default"


class Scope(StrEnum):
    """What a key may do, from the narrowest to the widest."""

    VOTE = "vote"
    READ = "read"
    CHAT = "chat"
    WRITE = "write"
    ADMIN = "admin"


RATER = frozenset({Scope.VOTE})


@dataclass(frozen=True)
class Caller:
    """Who asks. `evaluation_id` is the one on whose cards a rater votes."""

    org_id: str
    api_key_id: str | None
    scopes: frozenset[str]
    evaluation_id: str | None = None

    @property
    def is_rater(self) -> bool:
        """Whether it may only vote on its own cards of one evaluation."""
        return self.scopes == RATER

    @property
    def is_operator(self) -> bool:
        """Whether it belongs to the organisation that runs the installation; others only use it."""
        return self.org_id == OPERATOR

    def require_operator(self) -> None:
        """Raise Denied unless the caller may read data of all organisations."""
        if not self.is_operator:
            raise Denied(
                "This covers the whole installation, so only keys of the organisation that runs it "
                "may read it. Ask its administrators.",
                code="operators_only",
            )

    @property
    def account(self) -> str:
        """What shares and budgets are counted by: the key, or the organisation without a key."""
        return self.api_key_id or self.org_id

    def require(self, scope: str) -> None:
        """Raise Denied unless the key may do what `scope` stands for."""
        if scope in self.scopes:
            return
        if self.is_rater:
            raise Denied(
                "This is a rater's link: it is only for voting on the cards of one evaluation. For "
                "anything else, ask an administrator for an API key.",
                code="insufficient_scope",
            )
        raise Denied(
            f"This API key lacks the scope `{scope}`. Use a key that has it, "
            "or ask an administrator to make one.",
            code="insufficient_scope",
        )
