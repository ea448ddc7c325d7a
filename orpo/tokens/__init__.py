"""From pairs to batches of tokens: renders, tokenises, caches and packs them, and deals them to
ranks.

Uses rows, base, process and the contract. Knows tokenizers; knows no weights and no steps.
"""
