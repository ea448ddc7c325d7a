"""What a mirror needs of a tracker, and what it tells it. Knows no tracker and no database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Run:
    """A job as a tracker sees it. `run_id` is the tracker's own id, if it has begun before.

    `key` names the run for good: the job's id, with the place of its integration behind it if that
    is not the first. `settings` are the integration's; `facts` are the job's settings, shown with
    the run. `folder` is where a tracker that writes files may do so, and `kept_bytes` what `flush`
    returned last. A run that `is_whole` is written in one pass, once its job has ended.
    """

    key: str
    run_id: str | None
    settings: dict[str, Any]
    facts: dict[str, Any]
    folder: Path
    kept_bytes: int
    is_operators: bool
    is_whole: bool

    @property
    def name(self) -> str:
        return self.settings.get("name") or self.key


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

    Raises whatever its package raises; the mirror then starts again from its last position. What
    was written beyond that position is written again, and must not be there twice.
    """

    def begin(self, run: Run) -> str | None:
        """Open the run, a new one or that of `run.run_id`, and return its id at the tracker."""
        ...

    def steps(self, steps: list[Step]) -> None: ...

    def samples(self, samples: list[SampledAnswer]) -> None: ...

    def flush(self) -> int:
        """Return once the tracker has what was written so far. The position is stored after that.

        Returns the size in bytes of the file that holds it, or 0 if there is no such file.
        """
        ...

    def end(self, state: str | None) -> None:
        """Close the run. `state` is how the job has ended; None if it goes on."""
        ...
