"""Jobs from their creation to their end: every change of a state, claims, attempts, workers.

Uses access and platform. Knows no files of a run.
"""
