"""A training pair in tokens. Knows nothing of how it is made or used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One pair in tokens: the sequences are prefix + chosen and prefix + rejected.

    A mask is True where a token is trained as a response. `rejected` is None (and its mask empty)
    for rows without one. The mask of a sequence's first token is never True: nothing predicts it.
    """

    line: int
    prefix: list[int]
    chosen: list[int]
    rejected: list[int] | None
    prefix_mask: list[bool]
    chosen_mask: list[bool]
    rejected_mask: list[bool]
    truncated: bool
    reference: tuple[float, float] | None = None
    """Summed log-probs of both answers under the untrained policy, if the method needs them."""

    def n_computed(self, *, rejected: bool, shared: bool = True) -> int:
        """The number of tokens computed for it: the prefix once if it is `shared`, and the tail of
        the rejected side only if `rejected`.
        """
        if not rejected:
            return len(self.prefix) + len(self.chosen)
        return self.n_tokens if shared else self.n_tokens_unshared

    @property
    def n_tokens(self) -> int:
        """Tokens of all its parts, the prefix once."""
        return len(self.prefix) + len(self.chosen) + len(self.rejected or ())

    @property
    def n_tokens_unshared(self) -> int:
        """Tokens of its sequences when each stands alone."""
        return self.n_tokens + (len(self.prefix) if self.rejected is not None else 0)
