"""The devices of this machine, and the thread that registers this worker while it lives."""

import logging
import os
import socket
import subprocess
import threading
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from services.jobs import workers
from services.platform.database import transaction
from services.platform.queue import TRAIN
from services.platform.settings import get_settings
from services.processes import sandbox

logger = logging.getLogger(__name__)

HOST = socket.gethostname()
WORKER = f"{HOST}:{os.getpid()}"
_leaving = threading.Event()


def devices() -> list[dict[str, Any]]:
    """The NVIDIA GPUs that this process may use, from the driver: index, name, memory in bytes."""
    fields = "--query-gpu=index,name,memory.total"
    try:
        command = ["nvidia-smi", fields, "--format=csv,noheader,nounits"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines()]
    return [
        {"index": int(index), "name": name, "memory_bytes": int(mebibytes) * 2**20}
        for index, name, mebibytes in found
        if allowed is None or index in allowed.split(",")
    ]


def announce(queues: list[str]) -> None:
    """Register this worker now and at every heartbeat, until `leave`.

    A thread does this, because a task may take hours.
    """
    _leaving.clear()
    gpus = devices() if TRAIN in queues else []
    facts = {"queues": queues, "host": HOST, "cores": len(os.sched_getaffinity(0)), "devices": gpus}
    facts["memory_bytes"] = sandbox.memory_bytes()
    _register(facts)
    threading.Thread(target=_repeat, args=(facts,), name="fleet", daemon=True).start()


def leave() -> None:
    """Take this worker out of the fleet."""
    _leaving.set()
    with suppress(SQLAlchemyError), transaction() as session:
        workers.forget(session, WORKER)


def _repeat(facts: dict[str, Any]) -> None:
    while not _leaving.wait(get_settings().heartbeat_s):
        _register(facts)


def _register(facts: dict[str, Any]) -> None:
    try:
        with transaction() as session:
            workers.register(session, WORKER, **facts)
    except SQLAlchemyError as error:
        logger.warning("could not register that this worker is alive: %s", type(error).__name__)
