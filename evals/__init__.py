"""Evaluation suites: pure functions from prompts and answers to scores with intervals.

Knows no model, engine, database or network: the caller has asked the models before.
"""
