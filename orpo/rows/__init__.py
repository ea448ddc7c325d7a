"""Preference files: their formats, shapes and the normal form of a pair.

Uses the contract. Knows no tokens and no models; imports no torch, since the platform uses it too.
"""
