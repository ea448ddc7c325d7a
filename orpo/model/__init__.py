"""A policy: a base with what is trained in it; how it is checked, loaded, merged and unpacked.

Uses layers, tokens, base, process and the contract. Knows no optimizer and no steps.
"""
