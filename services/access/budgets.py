"""Budgets of an API key for each minute, counted in Redis for all processes of the API.

A budget protects the share of other keys and controls no access. Requests are therefore accepted
while Redis does not answer. The limits of threads, queues and answers at once still hold.
"""

import logging
import math
import time
from enum import StrEnum
from functools import lru_cache

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from services.platform.errors import RateLimited
from services.platform.settings import get_settings

logger = logging.getLogger("oddsmith.api")

ANSWER_S = 0.5
# How long Redis is not called after it did not answer, so that requests don't each wait for it.
QUIET_S = 5.0
PREFIX = "oddsmith:budget"

_quiet_until = 0.0


class Budget(StrEnum):
    """What is counted. The names are used in Redis, the values in errors."""

    CHANGES = "requests that change or start something"
    TOKENS = "tokens of chats"


def per_minute(budget: Budget) -> int:
    """Return a key's budget for a minute; 0 is no limit."""
    settings = get_settings()
    return {
        Budget.CHANGES: settings.changes_per_minute,
        Budget.TOKENS: settings.chat_tokens_per_minute,
    }[budget]


def spend(account: str, budget: Budget, cost: int = 1) -> None:
    """Count `cost` of a key's budget. Raises RateLimited once the minute's budget is used up.

    A request that costs more than a whole budget takes all of it, and so is possible once a minute.
    """
    amount = per_minute(budget)
    if not amount or time.monotonic() < _quiet_until:
        return
    item = RateLimitItemPerMinute(amount)
    try:
        limiter = _limiter(get_settings().redis_url)
        if limiter.hit(item, budget.name, account, cost=min(cost, amount)):
            return
        ends_at, _ = limiter.get_window_stats(item, budget.name, account)
    except StorageError as error:
        _leave_alone(error)
        return
    retry_after_s = max(1, math.ceil(ends_at - time.time()))
    raise RateLimited(
        f"This API key has used up its {amount:,} {budget} a minute. "
        f"Try again in {retry_after_s} s.",
        retry_after_s=retry_after_s,
    )


@lru_cache(maxsize=1)
def _limiter(redis_url: str) -> FixedWindowRateLimiter:
    """Count in Redis; without one, in this process."""
    if not redis_url:
        return FixedWindowRateLimiter(MemoryStorage())
    storage = RedisStorage(
        redis_url,
        key_prefix=PREFIX,
        wrap_exceptions=True,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
    )
    return FixedWindowRateLimiter(storage)


def _leave_alone(error: StorageError) -> None:
    global _quiet_until  # noqa: PLW0603 - one breaker for the process
    _quiet_until = time.monotonic() + QUIET_S
    logger.warning(
        "budgets of keys can't be counted, so none is refused: %s",
        type(error.storage_error).__name__,
    )
