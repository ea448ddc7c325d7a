"""`make paper`: the paper's figures and tables (arXiv 2403.07691) repeated at small scale.

`runs` trains, asks and scores, and keeps the numbers of each run in `results/`; `figures` and
`page` draw them. Only the commands of the product are used.
"""
