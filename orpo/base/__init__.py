"""A base model's folder: its files, the headers of its weights, its architecture.

Uses process and the contract. Loads no weights and knows nothing of training.
"""
