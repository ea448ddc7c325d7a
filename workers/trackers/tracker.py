"""What a mirror needs of a tracker, and what it tells it. Knows no tracker and no database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Run:
    """A job as a tracker sees it. `run_id` is the tracker's own id, if it has begun before.

    `settings` are the integration's; `facts` are the job's settings, shown with the run.
    `folder` is where a tracker that writes files may do so.
    """

    job_id: str
    run_id: str | None
    settings: dict[str, Any]
    facts: dict[str, Any]
    folder: Path
    is_operators: bool
    has_ended: bool


@dataclass(frozen=True)
class Step:
    """The numbers of one step, by series such as `train/loss`. `t` is in Unix seconds."""

    step: int
    values: dict[str, float]
    t: float


@dataclass(frozen=True)
class SampledAnswer:
    step: int
    line: int
    prompt: str
    answer: str


class Tracker(Protocol):
    """One run at a tracker. Each pass of a mirror opens it, writes, and closes it.

    Raises whatever its package raises; the mirror then starts again from its last position.
    """

    def begin(self, run: Run) -> str | None:
        """Open the run, a new one or that of `run.run_id`, and return its id at the tracker."""
        ...

    def steps(self, steps: list[Step]) -> None: ...

    def samples(self, samples: list[SampledAnswer]) -> None: ...

    def flush(self) -> None:
        """Return once what was written so far is kept by the tracker."""
        ...

    def end(self, state: str | None) -> None:
        """Close the run. `state` is how the job has ended; None if it goes on."""
        ...
