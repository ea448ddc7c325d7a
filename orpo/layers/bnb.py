"""Optional access to bitsandbytes, which holds weights in 4 bits and moments in 8 bits.

Knows neither models nor optimizers.
"""

from importlib import import_module
from typing import Any

from orpo.contract.failures import Code, Failure


def bitsandbytes(field: str, instead: str) -> Any:
    """The library; raises Failure(`bad_spec`) with the method's `field` if it is missing."""
    try:
        return import_module("bitsandbytes")  # optional: most runs do not need it
    except ImportError:
        raise Failure(
            Code.BAD_SPEC,
            f"This {field} needs bitsandbytes, which is not installed where jobs are trained.",
            f"Install bitsandbytes there, or set {field} to {instead}.",
            f"method.{field}",
        ) from None
