"""Tiny parts for the supervisor's tests, and a program that supervises them.

`python toy.py FOLDER PARTS` runs the parts (a JSON list) and prints one JSON line per event.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from cli.stack.errors import StackError
from cli.stack.process import Part, Stage, wait_until
from cli.stack.supervisor import Stopped, Supervisor

MARK = "ODDSMITH_TOY"

# Children in their own sessions, as a training or an engine may leave.
WILD = "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &) ; sleep 1000 & wait"


class Lines:
    def tell(self, event: str, **details: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, **details}) + "\n")
        sys.stdout.flush()

    def ready(self, part: Part, seconds: float) -> None:
        self.tell("ready", part=part.name)

    def restarting(self, part: Part, code: int, pause_s: float) -> None:
        self.tell("restarting", part=part.name, code=code, pause_s=pause_s)

    def stopping(self, parts: Sequence[Part], timeout_s: float) -> None:
        self.tell("stopping", parts=[part.name for part in parts])

    def hurrying(self, timeout_s: float) -> None:
        self.tell("hurrying")

    def killing(self, part: Part) -> None:
        self.tell("killing", part=part.name)


def part(name: str, script: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "script": script, **fields}


class Supervised:
    """A supervisor in a process of its own, and all its descendants."""

    def __init__(self, folder: Path, parts: list[dict[str, Any]], **options: float) -> None:
        self.mark = uuid4().hex
        command = [sys.executable, __file__, str(folder), json.dumps(parts), json.dumps(options)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {MARK: self.mark}
        )
        self.events: list[dict[str, Any]] = []

    def until(self, event: str, part: str | None = None) -> dict[str, Any]:
        """Read events up to the next one of this kind."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event and part in (None, self.events[-1].get("part")):
                return self.events[-1]
        raise AssertionError(f"no {event!r} of {part!r} in {self.events}")

    def finish(self) -> int:
        assert self.process.stdout
        self.events += [json.loads(line) for line in self.process.stdout]
        return self.process.wait(30)

    def order(self, event: str) -> list[Any]:
        return [e.get("part", e.get("parts")) for e in self.events if e["event"] == event]

    def alive(self) -> list[psutil.Process]:
        return marked(self.mark)


def marked(mark: str) -> list[psutil.Process]:
    """Every process with the mark in its environment, in any session."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def supervised(folder: Path, *parts: dict[str, Any], **options: float) -> Iterator[Supervised]:
    running = Supervised(folder, list(parts), **options)
    try:
        yield running
    finally:
        for process in running.alive():
            with suppress(psutil.NoSuchProcess):
                process.kill()


def nothing_left(alive: Callable[[], list[psutil.Process]], within_s: float) -> bool:
    return wait_until(lambda: not alive(), timeout_s=within_s)


def main() -> None:
    folder, given, options = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
    parts = []
    for fields in given:
        script, stage = fields.pop("script"), Stage(fields.pop("stage", Stage.SERVICES))
        argv = ("sh", "-c", script)
        parts.append(Part(argv=argv, stage=stage, env=dict(os.environ), cwd=folder, **fields))
    lines = Lines()
    supervisor = Supervisor(parts, folder, lines, **options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, supervisor.request_stop)
    try:
        supervisor.start()
        lines.tell("up")
        supervisor.run()
    except Stopped:
        lines.tell("stopped early")
    except StackError as error:
        lines.tell("failed", message=str(error))
    finally:
        supervisor.stop()
        lines.tell("down", at=time.time())


if __name__ == "__main__":
    main()
