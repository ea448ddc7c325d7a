"""Deleting, cleaning up, measuring the disk, and whether the parts are well.

Uses serving and all below.
"""
