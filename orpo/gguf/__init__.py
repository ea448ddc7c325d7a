"""GGUF export: a checkpoint as one file for llama.cpp, with a check that its log-probs equal the
trainer's.

Uses run (for the probe), model, tokens, base, process, rows and the contract.
"""
