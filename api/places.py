"""Places for answers of engines: how many one key may have at a time, and the tokens they cost.

An engine computes a limited number of answers at once. A key that takes all of them would keep
every other key waiting. Each process of the API counts places by itself.
"""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends

from api import threads
from api.deps import Chatter
from api.schemas.chat import ChatRequest
from api.schemas.comparisons import SideRequest
from services.access import budgets
from services.access.budgets import Budget
from services.access.callers import Caller
from services.platform.errors import RateLimited
from services.platform.settings import get_settings

RETRY_AFTER_S = 2
# For English text. Other scripts have fewer, so their messages are counted as too few tokens.
CHARACTERS_PER_TOKEN = 4

_taken: Counter[str] = Counter()


class Places:
    """The places that one request holds, until it has been answered to its end."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.held = 0

    async def take(self, answers: int, tokens: int) -> None:
        """Take a place for each answer. Raises RateLimited if the key has too few or no budget."""
        account, at_once = self.caller.account, get_settings().chats_at_once
        if at_once and _taken[account] + answers > at_once:
            raise RateLimited(
                f"This API key may have {at_once} answers at a time, {_taken[account]} are on "
                "their way. Try again when one has ended.",
                retry_after_s=RETRY_AFTER_S,
            )
        _taken[account] += answers
        self.held += answers
        await threads.run(threads.REQUESTS, account, budgets.spend, account, Budget.TOKENS, tokens)

    def leave(self) -> None:
        account = self.caller.account
        _taken[account] -= self.held
        if not _taken[account]:
            del _taken[account]


async def hold(caller: Chatter) -> AsyncIterator[Places]:
    """Yield the request's places, and free them after its answer was sent or given up."""
    places = Places(caller)
    try:
        yield places
    finally:
        places.leave()


PlacesDep = Annotated[Places, Depends(hold)]


def cost(request: ChatRequest | SideRequest, answers: int) -> int:
    """Return the tokens that a request may cost: its messages, and each answer at its longest."""
    longest = get_settings().engine_max_length
    asked = request.max_completion_tokens or request.max_tokens or longest
    characters = request.characters()
    # An engine refuses what is longer than its context.
    prompt = min(characters // CHARACTERS_PER_TOKEN, longest)
    return prompt + answers * min(asked, longest)
