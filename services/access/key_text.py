"""The text of an API key. Imports nothing heavy: each command of the command line loads it."""

import secrets

PREFIX = "sk-odd-"


def new() -> str:
    """Make a key of 240 random bits."""
    return PREFIX + secrets.token_urlsafe(30)
