"""Signing secrets of webhooks, and signatures by the scheme of Standard Webhooks.

A secret is derived from the operator's key and the webhook's id, so it is stored nowhere: decision
30. OpenAI's client verifies the signatures (`webhooks.unwrap`).

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac

from services.platform.errors import Unavailable
from services.platform.settings import get_settings

PREFIX = "whsec_"
SHORTEST_KEY = 32


def secret_of(webhook_id: str) -> str:
    """Return the signing secret of a webhook: `whsec_` and 32 bytes in base64.

    Raises Unavailable if the operator has set no key.
    """
    key = get_settings().webhook_secret.get_secret_value().strip()
    if len(key) < SHORTEST_KEY:
        raise Unavailable(
            "Webhooks need a key to sign with, which this installation lacks. The operator must "
            f"put at least {SHORTEST_KEY} random characters into ODDSMITH_WEBHOOK_SECRET, the same "
            "for the API and the files worker.",
            code="no_webhook_secret",
        )
    derived = hmac.digest(key.encode(), f"webhook {webhook_id}".encode(), "sha256")
    return PREFIX + base64.b64encode(derived).decode()


def sha256_of(secret: str) -> str:
    """Return what tells a secret from another one, as hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that a receiver verifies. `timestamp` is in Unix seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = hmac.digest(base64.b64decode(secret.removeprefix(PREFIX)), signed, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
