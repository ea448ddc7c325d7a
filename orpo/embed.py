"""`python -m orpo.embed ROWS OUT`: texts as vectors, by the embedder that is installed.

`orpo.contract.embed` describes the files. The work is done by `orpo.run.embed`.
"""

import sys
from pathlib import Path

from orpo.run.embed import main

if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
