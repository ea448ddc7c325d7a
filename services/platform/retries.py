"""How long to wait before something that has failed is tried again."""

# A float would overflow in the end, and the longest delay applies long before.
MOST_STEPS = 60


def delay_s(failures: int, *, first_s: float, longest_s: float, factor: float = 2) -> float:
    """Return the pause after that many failures in a row, from 1, in seconds.

    It grows by `factor` with each failure, up to `longest_s`.
    """
    return min(first_s * float(factor) ** min(failures - 1, MOST_STEPS), longest_s)
