"""What all processes of the core share: verbs, ranks, stopping, determinism, the watchdog.

Uses the contract. Knows nothing of models, rows or steps.
"""
