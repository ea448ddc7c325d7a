"""Deleting, cleaning up, measuring the disk, and checking the health of the parts.

Uses serving and all below.
"""
