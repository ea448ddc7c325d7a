"""Meters for Prometheus: counts of this process, and gauges of the stack from the database.

Counts belong to one process. If several processes serve the API, scrape each on its own address and
sum the counts; the gauges of the stack are the same in all of them.
"""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from services.platform import meters

# Each counter would bring a second series that says when this process first counted.
disable_created_metrics()
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

requests = Counter(
    "oddsmith_http_requests",
    "Requests answered; the route is `none` for pages and for unknown paths.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
request_s = Histogram(
    "oddsmith_http_request_seconds",
    "Time from a request's first byte to its answer's last; for a stream, its whole duration.",
    ["method", "route"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
    registry=REGISTRY,
)
open_streams = Gauge(
    "oddsmith_open_streams", "Answers that are being streamed.", ["kind"], registry=REGISTRY
)
uploads = Counter(
    "oddsmith_uploads",
    "Uploads by outcome: stored, refused as invalid, or failed.",
    ["outcome"],
    registry=REGISTRY,
)
upload_bytes = Counter(
    "oddsmith_upload_bytes", "Bytes of files received, also of those refused.", registry=REGISTRY
)
chat_requests = Counter(
    "oddsmith_chat_requests", "Requests sent to engines; each side of a comparison counts as one.",
    registry=REGISTRY,
)  # fmt: skip
chat_failures = Counter(
    "oddsmith_chat_failures",
    "Requests that an engine refused, or that broke off with the engine.",
    ["reason"],
    registry=REGISTRY,
)
first_token_s = Histogram(
    "oddsmith_chat_first_token_seconds",
    "Time from sending a streamed request to its engine until the first token.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60),
    registry=REGISTRY,
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Meters of the whole stack: the help text and the labels of each.
STACK = {
    "jobs": ("Jobs by state.", ["state"]),
    "queue_depth": ("Work that waits for a worker, or that one has claimed.", ["queue", "state"]),
    "lease_age_seconds": ("Time since the least recently renewed lease was renewed.", []),
    "queued_age_seconds": ("How long the job that waits longest has waited.", []),
    "outbox_messages": ("Wake-ups that were committed and not published yet.", []),
    "outbox_age_seconds": ("How long the oldest unpublished wake-up has waited.", []),
    "broker_up": ("1 where Redis answers.", []),
    "broker_messages": ("Wake-ups that wait in Redis for a worker to take them.", ["queue"]),
    "workers": ("Workers that are alive.", ["queue"]),
    "keeper_age_seconds": ("Time since the keeper's last turn; no value if no keeper works.", []),
    "job_step": ("Steps that a running job has made.", ["job_id"]),
    "job_steps": ("Steps that a running job will make.", ["job_id"]),
    "job_step_seconds": ("How long a running job's last step took.", ["job_id"]),
    "job_tokens_per_second": ("Tokens a second in a running job's last step.", ["job_id"]),
    "deployments": ("Deployments that are wanted, by status.", ["status"]),
    "deployment_ready": ("1 where a wanted deployment answers.", ["deployment_id", "model"]),
    "engines": ("Engines that are starting or ready.", ["status"]),
}


class Stack(Collector):
    """The newest reading, as gauges; a scrape fails while Postgres is down, and says so."""

    def describe(self) -> Iterable[Metric]:
        return []  # so that registering needs no database

    def collect(self) -> Iterable[Metric]:
        reading = meters.read()
        for name, (text, labels) in STACK.items():
            family = GaugeMetricFamily(f"oddsmith_{name}", text, labels=labels)
            for values, value in reading.get(name, {}).items():
                family.add_metric(list(values), value)
            yield family


REGISTRY.register(Stack())


def count_request(scope: Scope, status: int | None, duration_s: float) -> None:
    """Count a request under its route's template; all unknown paths share the label `none`."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = route_of(scope)
    requests.labels(method, route, str(status or "none")).inc()
    request_s.labels(method, route).observe(duration_s)


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, such as `/v1/files/{file_id}`, or `none`."""
    return getattr(scope.get("route"), "path", "none")
