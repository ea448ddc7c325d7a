"""Backups, and bringing them back into an empty stack.

Uses all other rooms.
"""
