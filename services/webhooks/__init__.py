"""Webhooks: who is told of what has ended, signed, with retries and a log."""
