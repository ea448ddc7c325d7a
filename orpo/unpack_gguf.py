"""`python -m orpo.unpack_gguf OUT_DIR`: write the demo's base model.

The work is done by `orpo.model.unpack_gguf`.
"""

import sys
from pathlib import Path

from orpo.model.unpack_gguf import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
