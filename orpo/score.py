"""`python -m orpo.score CHECKPOINT ROWS OUT [PROGRESS]`: the rewards of answers, by a reward model.

`orpo.contract.score` describes the files. The work is done by `orpo.run.score`.
"""

import sys
from pathlib import Path

from orpo.run.score import main

if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
