"""The Celery application. A message is only a wake-up: the work itself is recorded in Postgres."""

import threading
from typing import Any

from celery import Celery
from celery.signals import (
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

from services.platform import logs, run_folder, traces
from services.platform.errors import OddsmithError
from services.platform.queue import Task
from services.platform.settings import get_settings
from workers import fleet

# Set once the worker was asked to stop: a running task saves its work and returns.
draining = threading.Event()


def _queue_of(name: str, *_: Any, **__: Any) -> dict[str, str] | None:
    return {"queue": Task(name).queue} if name in set(Task) else None


app = Celery(
    "oddsmith",
    broker=get_settings().redis_url or "redis://",
    include=[
        "workers.files",
        "workers.prepare_queue",
        "workers.jobs",
        "workers.deployments",
        "workers.evaluations",
        "workers.mirrors",
        "workers.removals",
        "workers.webhooks",
    ],
)
app.conf.update(
    # An early ack loses at most the tasks that run when a worker is killed, and the database knows
    # these. A late ack runs long tasks twice once the visibility timeout passes (measured).
    task_acks_late=False,
    # One message at a time. A prefetch multiplier of 0 would mean "unlimited".
    worker_disable_prefetch=True,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_routes=(_queue_of,),
    task_create_missing_queues=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # Publishing happens in the keeper's loop, which tries again by itself.
    task_publish_retry=False,
    broker_transport_options={"socket_connect_timeout": 5, "socket_timeout": 30},
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    timezone="UTC",
)


@setup_logging.connect
def _log(**_: Any) -> None:
    logs.configure()
    traces.configure("worker")


@worker_init.connect
def _belong(**_: Any) -> None:
    """Exit if the run folder is not the database's; wait while the folder or database is away."""
    logs.configure()
    try:
        run_folder.until_joined()
    except OddsmithError as error:
        raise SystemExit(error.message) from None


@worker_ready.connect
def _join_fleet(sender: Any, **_: Any) -> None:
    fleet.announce(list(sender.app.amqp.queues.consume_from))


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    draining.set()


@worker_shutdown.connect
def _leave_fleet(**_: Any) -> None:
    fleet.leave()
