"""`python -m orpo.likelihoods RUN_DIR`: the log-probs of the answers of pairs, under any model.

`orpo.contract.likelihoods` describes the files. The work is done by `orpo.run.likelihoods`.
"""

import sys
from pathlib import Path

from orpo.run.likelihoods import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
