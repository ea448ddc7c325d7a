"""One program of the stack in a process group of its own: killed, paused and started at will.

No leash is around it, unlike in `oddsmith up`: the product's own guards have to do all the work.
"""

import os
import signal
import subprocess
from pathlib import Path

from cli.stack.parts import ROOT
from cli.stack.process import Part, wait_until
from orpo.process.watchdog import die_with_parent


class Program:
    def __init__(self, part: Part, logs: Path) -> None:
        self.part = part
        self.name = part.name
        self.log = logs / f"{part.name}.log"
        self.tricks: tuple[str, ...] = ()
        self.popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self, *tricks: str, **settings: str) -> None:
        """Start, with what `tests.faults.without` can take out or put in; see `until_ready`."""
        self.tricks = (*tricks, *settings)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        argv = self.part.argv
        if tricks:
            argv = (argv[0], "-m", "tests.faults.without", ",".join(tricks), *argv[2:])
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                argv, cwd=ROOT, env={**self.part.env, **settings}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - killed tests must leave nothing
            )  # fmt: skip

    def until_ready(self) -> None:
        text = self.part.ready_text
        ready = self.part.ready or (lambda: self.said(text))
        assert wait_until(ready, timeout_s=60), f"{self.name} did not start:\n{self.output()}"

    @property
    def pid(self) -> int:
        assert self.popen
        return self.popen.pid

    @property
    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def output(self) -> str:
        """What it has written since it was started last."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def said(self, text: str) -> bool:
        return text in self.output()

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        if self.is_running:
            self._signal(signal.SIGKILL)
            self.wait(5)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> None:
        assert self.popen
        self.popen.wait(timeout_s)

    def _signal(self, number: int) -> None:
        os.killpg(self.pid, number)
