"""Trackers of experiments: a module each, which writes a job's numbers where people look at them.

Their packages are imported in the process of a mirror only (`python -m workers.trackers.mirror`).
"""
