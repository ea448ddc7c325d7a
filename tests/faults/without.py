"""`python -m tests.faults.without TRICKS MODULE ARGUMENT...`: a module, tampered with.

Takes a guard out, so that a row can be seen to fail without it, or puts a fault in. Only tests know
of this; the product has no such switch. TRICKS are keys of `TRICKS`, separated by commas.
"""

import datetime
import itertools
import math
import runpy
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.guards import Guard, Substitute, nothing, value


def _anyone(claims: Any, _: Any) -> Any:
    return lambda session, job_id, _: session.get_one(claims.Job, job_id)


def _lost(claims: Any, _: Any) -> Any:
    return lambda session, job_id, generation: claims.lose(session, job_id, generation, "Stopped.")


def _own_clock(claims: Any, _: Any) -> Any:
    def lease() -> datetime.datetime:
        until = time.time() + claims.get_settings().lease_s
        return datetime.datetime.fromtimestamp(until, datetime.UTC)

    return lease


def _two_minutes(*_: Any) -> Any:
    """Ranks without a deadline must end, too, should the tests be killed."""
    until = time.monotonic() + 120
    return lambda _: time.monotonic() > until


def _always_renewed(*_: Any) -> Any:
    def set_field(supervision: Any, name: str, value: Any) -> None:
        object.__setattr__(supervision, name, math.inf if name == "renewed_at" else value)

    return set_field


def _every_second(_: Any, send: Any) -> Any:
    count = itertools.count()

    def send_task(*arguments: Any, **options: Any) -> Any:
        return send(*arguments, **options) if next(count) % 2 else None

    return send_task


def _shifted(by_s: int) -> Substitute:
    """The clock that Python's own code reads; datetime asks the kernel by itself."""

    def substitute(_: Any, real: Callable[[], float]) -> Any:
        return lambda: real() + by_s

    return substitute


def _slow_blocks(_: Any, real: Callable[[str], Any]) -> Any:
    def chunks(key: str) -> Any:
        for block in real(key):
            yield block
            time.sleep(0.3)

    return chunks


TRICKS = {
    # Any worker's writes are accepted; a worker never looks at its own clock.
    "fence": Guard("services.jobs.claims", "held", _anyone),
    "self_fence": Guard("workers.supervision", "Supervision.__setattr__", _always_renewed),
    # A launcher watches no deadline; a rank doesn't ask the kernel to die with its launcher.
    "deadline": Guard("orpo.process.watchdog", "Deadline.has_passed", _two_minutes),
    "parent_death": Guard("orpo.process.watchdog", "die_with_parent", nothing()),
    # A worker starts trainings without a sandbox.
    "sandbox": Guard(
        "services.processes.sandbox", "wrap", value(lambda command, **_: list(command))
    ),
    # A worker waits for a silent training; counts an orderly stop as a loss; tries a full disk
    # again; ends leases by its own clock.
    "stall": Guard("workers.supervision", "Supervision._enforce_progress", nothing()),
    "release": Guard("services.jobs.claims", "release", _lost),
    "final_errors": Guard("workers.training", "FINAL_ERRORS", value(frozenset[str]())),
    "database_clock": Guard("services.jobs.claims", "_lease", _own_clock),
    # The API remembers no key of a create.
    "idempotency": Guard("services.jobs.jobs", "_remember", nothing()),
    # A completion does not look for an earlier one, nor at the state of the upload.
    "completed_once": Guard("services.files.upload_completion", "was_completed", nothing(False)),
    "upload_state": Guard("services.files.uploads", "refuse_ended", nothing()),
    # The API keeps clients that no longer read; a worker stores each number of a run.
    "dropping": Guard("cli.stack.parts", "API_CONNECTION", value("httptools")),
    "flood_limit": Guard("workers.tail", "MOST_BEHIND_BYTES", value(math.inf)),
    # A row of a file may have any length; a compressed file may unpack to any size.
    "row_length": Guard("orpo.rows.limits", "MAX_ROW_BYTES", value(2**30)),
    "unpacking": Guard("orpo.rows.unpacked", "Unpacked.counted", value(lambda _, n_bytes: n_bytes)),
    # Faults: every second message is lost, the clock is an hour off.
    "lossy_broker": Guard("celery", "Celery.send_task", _every_second),
    "fast_clock": Guard("time", "time", _shifted(3600)),
    "slow_blocks": Guard("services.platform.storage", "chunks", _slow_blocks),
    "slow_clock": Guard("time", "time", _shifted(-3600)),
}


def main() -> None:
    names, module = sys.argv[1], sys.argv[2]
    del sys.argv[:2]  # the module sees its own arguments only
    for name in names.split(","):
        TRICKS[name].take_out()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
