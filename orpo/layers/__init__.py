"""The parts of a model that this project computes in its own way: attention, kernels, 4-bit bases.

Uses tokens (for the layout of a batch) and the contract. Knows no run and no loss.
"""
