"""From log-probabilities to the loss and to the series of the charts.

Uses tokens and the contract. Knows no model, rank or file.
"""
