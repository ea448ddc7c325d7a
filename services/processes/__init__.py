"""Processes beside this one: verbs of the core in a sandbox, and how a tree of them ends.

Uses platform and the contract. Knows no job and no database.
"""
