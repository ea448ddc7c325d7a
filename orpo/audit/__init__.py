"""What is wrong with the accepted pairs of a file, and recipes that make another version of it.

Uses rows. Knows no tokens and no models; imports no torch, since the platform uses it too.
"""
