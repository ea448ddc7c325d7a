"""`python -m orpo.fold ADAPTER_DIR BASE_DIR OUT_DIR SHA256`: fold an outside adapter into its base.

The work is done by `orpo.model.merge`.
"""

import sys
from pathlib import Path

from orpo.model.merge import main_fold

if __name__ == "__main__":
    adapter, base, out, sha256 = sys.argv[1:]
    sys.exit(main_fold(Path(adapter), Path(base), Path(out), sha256))
