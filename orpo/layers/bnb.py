"""bitsandbytes, which holds weights in 4 bits and moments in 8, where it is installed.

Knows neither models nor optimizers.
"""

from importlib import import_module
from typing import Any

from orpo.contract.failures import Code, Failure


def bitsandbytes(field: str, instead: str) -> Any:
    """The library; raises Failure(`bad_spec`) where it is missing, naming the method's `field`."""
    try:
        return import_module("bitsandbytes")  # optional: most runs do without
    except ImportError:
        raise Failure(
            Code.BAD_SPEC,
            f"This {field} needs bitsandbytes, which is not installed where jobs are trained.",
            f"Install bitsandbytes there, or set {field} to {instead}.",
            f"method.{field}",
        ) from None
