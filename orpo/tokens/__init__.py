"""From pairs to batches of tokens: rendered, tokenised, kept, packed, dealt to ranks.

Uses rows, base, process and the contract. Knows tokenizers; knows no weights and no steps.
"""
