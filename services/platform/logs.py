"""Structured logs: one JSON object a line on stderr, with the ids that the code around it bound.

Knows no secret: headers and bodies are never logged.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from services.platform import traces

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_bound: ContextVar[dict[str, Any] | None] = ContextVar("bound", default=None)

# What every LogRecord has: anything else came with `extra` and belongs in the line.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# These log each request or statement at INFO, which drowns what matters.
CHATTY = (
    "httpx", "fsspec", "alembic", "uvicorn.access", "celery.worker.strategy", "celery.app.trace",
)  # fmt: skip


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add `fields` (job, generation) to each line that is logged within the block."""
    token = _bound.set({**(_bound.get() or {}), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "t": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **(_bound.get() or {}),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= traces.current()
        line |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    """Send all logs of this process to stderr, one JSON object a line; harmless when repeated."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Loggers with handlers of their own would go on writing plain text.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
