"""Whether the API can serve."""

from typing import Literal

from pydantic import BaseModel


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether the API can work, and what is missing."""

    status: Literal["ok", "degraded", "unavailable"]
    missing: list[str]
    degraded: list[str]
