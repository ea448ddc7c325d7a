"""SIGTERM as a request: the run checks for it at its next step boundary, saves and ends.

Knows signals; knows nothing of checkpoints.
"""

import signal
from types import FrameType


class Stopping:
    """`requested` turns True at the first SIGTERM and stays so."""

    requested = False

    def listen(self) -> "Stopping":
        """Handle SIGTERM from now on (call it in the main thread)."""
        signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True
