"""A policy: a base model with its trained part. Checks, loads, merges and unpacks it.

Uses layers, tokens, base, process and the contract. Knows no optimizer and no steps.
"""
