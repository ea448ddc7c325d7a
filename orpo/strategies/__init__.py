"""How a policy is trained: optimizers, and one strategy for each way to share the work.

Uses model, layers, process and the contract. Knows no rows, no files of a run and no loss.
"""
