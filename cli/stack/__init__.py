"""The embedded stack: Postgres, Redis, API, workers and keeper under one supervisor."""
