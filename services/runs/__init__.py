"""What a run leaves: its folder, journal, events, numbers, checkpoints and results.

Uses files, jobs, access, processes and platform.
"""
