"""A run: steps, evaluation, checkpoints, and the journal in its directory.

Uses all other packages of the core except gguf. Knows no database, broker or job.
"""
