"""The lease of a run on other machines: files in its folder that every node reads.

The worker that holds the job touches LEASE at each heartbeat. A node compares the file's time with
that of a file that it writes itself: both come from the clock of the file system, so the clocks of
the machines may differ. STOP asks the ranks to save and end. REVOKED ends them at once, for good.
"""

from contextlib import suppress
from pathlib import Path

from orpo.contract.rundir import LEASE, REVOKED, STOP, clock
from services.platform.settings import get_settings

# Ranks end this early, so that they have ended before another worker may have the job.
SHARE_OF_LEASE = 0.8


class Lease:
    """The lease of one generation's run folder. `node` names the files of its reader."""

    def __init__(self, run_dir: Path, node: str = "worker") -> None:
        self.run_dir = run_dir
        self._clock = run_dir / clock(node)

    def renew(self) -> None:
        """Hold the run for a lease from now."""
        replace(self.run_dir / LEASE, str(get_settings().lease_s))

    def ask_to_stop(self) -> None:
        (self.run_dir / STOP).touch()

    def revoke(self) -> None:
        with suppress(FileNotFoundError):  # a run that was never written has no ranks
            (self.run_dir / REVOKED).touch()

    @property
    def is_to_stop(self) -> bool:
        return (self.run_dir / STOP).exists()

    def left_s(self) -> float:
        """How many seconds the ranks may live without another heartbeat; at most 0: end them.

        Raises OSError if the folder can't be read or written: go by the last known deadline then.
        """
        if (self.run_dir / REVOKED).exists():
            return 0.0
        self._clock.touch()
        try:
            lease_s = float((self.run_dir / LEASE).read_text())
            written_at = (self.run_dir / LEASE).stat().st_mtime
        except (FileNotFoundError, ValueError):
            return 0.0
        return SHARE_OF_LEASE * lease_s - (self._clock.stat().st_mtime - written_at)


def replace(path: Path, text: str) -> None:
    """Write a file at once: a reader sees the old text or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)
