"""Importing this module keeps torch out of the process; import it before transformers.

transformers reads tokenizers and configurations without torch, but imports torch if it is
installed. That costs 3 s of a core and 270 MB in each verb that computes nothing.
"""

import os
import sys

# In Python, None in `sys.modules` makes an import fail (importlib, "The module cache").
sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
# Otherwise transformers prints a warning that no models are available.
os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
