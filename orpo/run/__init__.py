"""A run: steps, evaluation, checkpoints, and the journal in its directory.

Uses all rooms but gguf. Knows no database, broker or job.
"""
