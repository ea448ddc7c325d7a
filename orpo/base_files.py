"""`python -m orpo.base_files DIR`: the facts of a model folder, as recorded at registration.

The work is done by `orpo.base.files`.
"""

import sys
from pathlib import Path

from orpo.base.files import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
