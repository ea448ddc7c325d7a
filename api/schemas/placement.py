"""Where a job runs, on the wire."""

from typing import Any

from pydantic import BaseModel, Field

from services.platform.settings import Launcher


class RunsOn(BaseModel):
    """Where a cluster runs a job."""

    launcher: Launcher
    name: str = Field(description="Its name there; each attempt has another.")

    @classmethod
    def from_placement(cls, placement: list[Any]) -> "RunsOn | None":
        """None for a job that a train worker runs on its own machine, or that no worker holds."""
        if not placement or "launcher" not in placement[0]:
            return None
        return cls(launcher=placement[0]["launcher"], name=placement[0]["name"])
