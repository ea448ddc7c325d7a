"""Traces, if OTEL_EXPORTER_OTLP_ENDPOINT names a collector; otherwise nothing is imported.

Each job has its own trace, whose ids are made from the job's id. So each process and each attempt
can add to the trace without any context being passed on. The packages that instrument libraries are
not used: SQLAlchemy's refuses 2.1, and a Celery message is a hint, not the work.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

logger = logging.getLogger(__name__)

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_tracer: Any = None
# Trace id and span id of the root that is being made: a job's.
_root: ContextVar[tuple[int, int] | None] = ContextVar("root", default=None)


class Silent:
    """Stands for a span where nothing is traced."""

    def update_name(self, _: str) -> None: ...
    def set_attributes(self, _: Mapping[str, Any]) -> None: ...


SILENT = Silent()


def configure(part: str) -> None:
    """Send the spans of this process (`oddsmith-<part>`) as OTLP over HTTP, if that is wanted.

    OpenTelemetry's own variables set the rest, such as OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER.
    """
    global _tracer  # noqa: PLW0603 - one tracer a process
    if _tracer is not None or not os.environ.get(ENDPOINT):
        return
    try:
        provider = _provider(part)
    except ImportError as error:
        # Missing traces must not keep the product from starting.
        logger.warning("%s is set, but %s: install oddsmith[otel].", ENDPOINT, error)
        return
    _tracer = provider.get_tracer("oddsmith")


def _provider(part: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class Ids(RandomIdGenerator):
        """Random ids, except for the root of a job's trace."""

        def generate_trace_id(self) -> int:
            root = _root.get()
            return root[0] if root else super().generate_trace_id()

        def generate_span_id(self) -> int:
            root = _root.get()
            return root[1] if root else super().generate_span_id()

    name = os.environ.get("OTEL_SERVICE_NAME") or f"oddsmith-{part}"
    resource = Resource.create({"service.name": name})
    provider = TracerProvider(resource=resource, id_generator=Ids())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@contextmanager
def span(
    name: str, *, job: str | None = None, headers: Mapping[str, str] | None = None, **facts: Any
) -> Iterator[Any]:
    """Time a block. `job` adds it to that job's trace, `headers` to the trace that a client names.

    Yields an object with `update_name` and `set_attributes`.
    """
    if _tracer is None:
        yield SILENT
        return
    context = None
    if job is not None:
        context, facts = _of_job(job), facts | {"job": job}
    elif headers is not None:
        context = _of_headers(headers)
    with _tracer.start_as_current_span(name, context=context, attributes=facts) as found:
        yield found


def begin_job(job: str) -> None:
    """Make the root of a job's trace, with a link to the request that creates the job."""
    if _tracer is None:
        return
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.context import Context  # noqa: PLC0415

    asking = trace.Link(trace.get_current_span().get_span_context())
    token = _root.set(_ids_of(job))
    try:
        _tracer.start_span("job", Context(), attributes={"job": job}, links=[asking]).end()
    finally:
        _root.reset(token)


def current() -> dict[str, str]:
    """Return `{"trace_id": ...}` of the span around this line; empty where nothing is traced."""
    if _tracer is None:
        return {}
    from opentelemetry import trace  # noqa: PLC0415

    context = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(context.trace_id)} if context.is_valid else {}


def _ids_of(job: str) -> tuple[int, int]:
    """Trace id (16 bytes) and root span id (8 bytes) of `ftjob-<24 hex digits>`."""
    digits = job.removeprefix("ftjob-")
    return int(digits + "0" * 8, 16), int(digits[:16], 16)


def _of_job(job: str) -> Any:
    from opentelemetry import trace  # noqa: PLC0415

    trace_id, span_id = _ids_of(job)
    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    root = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=sampled)
    return trace.set_span_in_context(trace.NonRecordingSpan(root))


def _of_headers(headers: Mapping[str, str]) -> Any:
    from opentelemetry import propagate  # noqa: PLC0415

    return propagate.extract(headers)
