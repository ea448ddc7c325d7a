"""What every process of the core does alike: verbs, ranks, stopping, determinism, the watchdog.

Uses the contract. Knows nothing of models, rows or steps.
"""
