"""`oddsmith demo`: the whole loop on the example pairs, as a list of steps.

Uses the commands' functions and the client. No other package uses it.
"""
