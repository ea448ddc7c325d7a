"""Importing this module keeps torch out of the process; import it before transformers.

transformers reads tokenizers and configurations without torch, but imports it wherever it finds it:
3 s of a core and 270 MB in each verb that computes nothing.
"""

import os
import sys

# Python's own way to say that a module can't be imported (importlib, "The module cache").
sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
# Else it prints that there are no models.
os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
