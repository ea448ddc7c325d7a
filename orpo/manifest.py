"""`python -m orpo.manifest CHECKPOINT_DIR`: is the folder intact?

The work is done by `orpo.contract.manifest`.
"""

import sys
from pathlib import Path

from orpo.contract.manifest import facts
from orpo.process.verbs import answer


def main(folder: Path) -> int:
    """Print `{ok, step, resumable, weights_sha256}`, or a `bad_checkpoint` error and status 6."""
    return answer(lambda: facts(folder))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
