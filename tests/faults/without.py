"""`python -m tests.faults.without TRICKS MODULE ARGUMENT...`: a module, tampered with.

Takes a guard out, so that a row can be seen to fail without it, or puts a fault in. Only tests know
of this; the product has no such switch. TRICKS are keys of `TRICKS`, separated by commas.
"""

import datetime
import itertools
import math
import os
import runpy
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

# What takes the place of a guard is made from the module that the guard stands in.
Substitute = Callable[[Any], Any]


def _does_nothing(answer: Any = None) -> Substitute:
    return lambda _: lambda *_, **__: answer


def _anyone(claims: Any) -> Any:
    return lambda session, job_id, _: session.get_one(claims.Job, job_id)


def _lost(claims: Any) -> Any:
    return lambda session, job_id, generation: claims.lose(session, job_id, generation, "Stopped.")


def _own_clock(claims: Any) -> Any:
    def lease() -> datetime.datetime:
        until = time.time() + claims.get_settings().lease_s
        return datetime.datetime.fromtimestamp(until, datetime.UTC)

    return lease


def _two_minutes(_: Any) -> Any:
    """A rank without a deadline must end, too, should the tests be killed."""
    timer = threading.Timer(120, os._exit, (1,))
    timer.daemon = True
    return timer.start


def _always_renewed(_: Any) -> Any:
    def set_field(supervision: Any, name: str, value: Any) -> None:
        object.__setattr__(supervision, name, math.inf if name == "renewed_at" else value)

    return set_field


def _every_second(celery: Any) -> Any:
    count, send = itertools.count(), celery.Celery.send_task

    def send_task(*arguments: Any, **options: Any) -> Any:
        return send(*arguments, **options) if next(count) % 2 else None

    return send_task


def _shifted(by_s: int) -> Substitute:
    """The clock that Python's own code reads; datetime asks the kernel by itself."""

    def substitute(module: Any) -> Any:
        real = module.time
        return lambda: real() + by_s

    return substitute


TRICKS: dict[str, tuple[str, str, Substitute]] = {
    # The keeper takes no job back; publishes nothing; wakes nobody for what was forgotten.
    "reaping": ("services.jobs.claims", "reap", _does_nothing([])),
    "publishing": ("services.platform.queue", "dispatch", _does_nothing(0)),
    "waking": ("workers.keeper", "queue.send", _does_nothing()),
    # A worker's writes are accepted, whoever holds the job; it never looks at its own clock.
    "fence": ("services.jobs.claims", "held", _anyone),
    "self_fence": ("workers.supervision", "Supervision.__setattr__", _always_renewed),
    # A rank watches no deadline; doesn't ask the kernel to die with its launcher.
    "deadline": ("orpo.process.watchdog", "start", _two_minutes),
    "parent_death": ("orpo.process.watchdog", "die_with_parent", _does_nothing()),
    # A worker starts trainings without a sandbox.
    "sandbox": ("services.processes.sandbox", "wrap", lambda _: lambda command, **_: list(command)),
    # A worker waits for a silent training; counts an orderly stop as a loss; tries a full disk
    # again; ends leases by its own clock.
    "stall": ("workers.supervision", "Supervision._enforce_progress", _does_nothing()),
    "release": ("services.jobs.claims", "release", _lost),
    "final_errors": ("workers.training", "FINAL_ERRORS", lambda _: frozenset()),
    "database_clock": ("services.jobs.claims", "_lease", _own_clock),
    # The API remembers no key of a create.
    "idempotency": ("services.jobs.jobs", "_remember", _does_nothing()),
    # The API keeps clients that no longer read; a worker stores each number of a run.
    "dropping": ("cli.stack.parts", "API_CONNECTION", lambda _: "httptools"),
    "flood_limit": ("workers.tail", "MOST_BEHIND_BYTES", lambda _: math.inf),
    # Faults: every second message is lost, the clock is an hour off.
    "lossy_broker": ("celery", "Celery.send_task", _every_second),
    "fast_clock": ("time", "time", _shifted(3600)),
    "slow_clock": ("time", "time", _shifted(-3600)),
}


def apply(name: str) -> None:
    place, path, substitute = TRICKS[name]
    module = import_module(place)
    *owners, attribute = path.split(".")
    owner = module
    for part in owners:
        owner = getattr(owner, part)
    assert attribute == "__setattr__" or hasattr(owner, attribute), f"{place} has no {path}"
    setattr(owner, attribute, substitute(module))


def main() -> None:
    names, module = sys.argv[1], sys.argv[2]
    del sys.argv[:2]  # the module sees its own arguments only
    for name in names.split(","):
        apply(name)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
