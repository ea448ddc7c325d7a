"""IFEval (Zhou et al. 2023, arXiv 2311.07911): instructions whose following a program can check."""
