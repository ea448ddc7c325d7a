"""Callers and what they may do: keys, sign-ins, budgets, the audit log.

Uses platform.
"""
