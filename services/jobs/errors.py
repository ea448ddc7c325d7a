"""A job's `error`: {"code", "message", "param"}, as the API shows it."""

from typing import Any

from orpo.contract.failures import Code
from services.platform.storable import storable


def of_core(error: dict[str, Any], otherwise: str = "") -> dict[str, Any]:
    """Make a job's error of the core's {"code", "message", "hint", "param"}.

    The hint becomes the end of the message. `otherwise` is the message of an error without one.
    """
    sentences = (error.get("message") or otherwise, error.get("hint"))
    return storable(
        {
            "code": error.get("code") or Code.INTERNAL,
            "message": " ".join(filter(None, sentences)),
            "param": error.get("param"),
        }
    )
