"""GGUF export: a checkpoint as one file for llama.cpp, with proof that it answers the same.

Uses run (for the probe), model, tokens, base, process, rows and the contract.
"""
