"""Starts the ranks of a run, on this machine or on a cluster, and follows them to their end.

Knows the run directory; knows nothing of jobs or the database.
"""
