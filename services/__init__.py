"""What the product does. Shared by `api`, `workers` and `cli`; knows no HTTP and no Celery task."""
