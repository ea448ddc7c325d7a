"""Votes on comparisons: stored, ranked, and made into pairs."""
