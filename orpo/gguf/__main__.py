"""`python -m orpo.gguf CHECKPOINT_OR_MODEL_DIR OUT.gguf [--type f16]`: one file for llama.cpp.

The work is done by `orpo.gguf.export`.
"""

import argparse
import sys
from pathlib import Path

from orpo.gguf.export import DEFAULT, main
from orpo.gguf.model import Type

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m orpo.gguf")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", type=Type, choices=list(Type), default=DEFAULT)
    given = parser.parse_args()
    sys.exit(main(given.source, given.out, given.type))
