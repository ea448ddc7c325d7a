"""Background work: Celery tasks and the keeper. Knows services; no HTTP, no torch."""
