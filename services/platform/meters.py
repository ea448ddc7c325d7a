"""Numbers on the whole stack, from the database and the broker, by name and labels.

They are for monitoring and are read at most once in 5 s, however many clients ask. Labels are
bounded: states, queues, and the ids of what runs now. Knows no format of a monitoring system.
"""

import threading
import time
from collections import defaultdict

import redis
from sqlalchemy import text

from services.platform import locks, queue
from services.platform.database import transaction
from services.platform.settings import get_settings

# Name of a meter -> its label values -> its value.
Reading = dict[str, dict[tuple[str, ...], float]]

READ_EVERY_S = 5.0
# How many are shown by their ids; the others are only counted.
JOBS_SHOWN = 50
DEPLOYMENTS_SHOWN = 100

# One round trip. The only scan is the count of jobs by state, for which there is an index. A queued
# job's age counts from its newest event of that state, when it last entered the queue.
QUERY = text(
    """
    WITH held AS (
        SELECT id, progress, started_at, lease_until FROM jobs
        WHERE state IN ('claimed', 'running', 'finalizing')
    ), shown AS (
        SELECT id, progress FROM held ORDER BY started_at DESC NULLS LAST LIMIT :jobs
    ), queued AS (
        SELECT id, greatest(created_at, available_at) AS since FROM jobs
        WHERE state = 'queued' AND desired_state = 'run'
    ), unsent AS (
        SELECT created_at FROM outbox WHERE published_at IS NULL
    ), wanted AS (
        SELECT id, model, status, created_at FROM deployments WHERE desired = 'run'
    ), meters (meter, labels, value) AS (
        SELECT 'jobs', ARRAY[state], count(*) FROM jobs GROUP BY state
        UNION ALL
        SELECT 'queue_depth', '{files,waiting}'::text[], count(*)
        FROM files WHERE status = 'uploaded' AND deleted_at IS NULL
        UNION ALL
        SELECT 'queue_depth', '{prepare,waiting}',
            (SELECT count(*) FROM jobs WHERE state = 'validating_files')
            + (SELECT count(*) FROM base_models
               WHERE status IN ('downloading', 'merging') AND deleted_at IS NULL)
        UNION ALL SELECT 'queue_depth', '{train,waiting}', count(*) FROM queued
        UNION ALL SELECT 'queue_depth', '{train,working}', count(*) FROM held
        UNION ALL
        SELECT 'queue_depth', '{serve,waiting}', count(*) FROM wanted
        WHERE status IN ('pending', 'starting')
        UNION ALL
        SELECT 'lease_age_seconds', '{}',
            :lease_s - extract(epoch FROM min(lease_until) - clock_timestamp()) FROM held
        UNION ALL
        SELECT 'queued_age_seconds', '{}', max(extract(epoch FROM clock_timestamp() - greatest(
            since,
            (SELECT max(created_at) FROM job_events
             WHERE job_id = queued.id AND data ->> 'state' = 'queued')
        ))) FROM queued
        UNION ALL SELECT 'outbox_messages', '{}', count(*) FROM unsent
        UNION ALL
        SELECT 'outbox_age_seconds', '{}',
            extract(epoch FROM clock_timestamp() - min(created_at)) FROM unsent
        UNION ALL SELECT 'job_step', ARRAY[id], (progress ->> 'step')::numeric FROM shown
        UNION ALL SELECT 'job_steps', ARRAY[id], (progress ->> 'steps')::numeric FROM shown
        UNION ALL
        SELECT 'job_' || names.meter, ARRAY[id], (
            SELECT metrics.value::numeric FROM metrics
            WHERE job_id = shown.id AND split = 'train' AND metrics.name = names.name
            ORDER BY step DESC LIMIT 1
        ) FROM shown, (VALUES ('step_seconds', 'step_s'), ('tokens_per_second', 'tokens_per_s'))
            AS names (meter, name)
        UNION ALL
        SELECT 'workers', ARRAY[name], count(workers.id)
        FROM unnest(CAST(:queues AS text[])) AS known (name) LEFT JOIN workers
            ON queues @> to_jsonb(name)
            AND seen_at > clock_timestamp() - make_interval(secs => 2 * :lease_s)
        GROUP BY name
        UNION ALL SELECT 'deployments', ARRAY[status], count(*) FROM wanted GROUP BY status
        UNION ALL (
            SELECT 'deployment_ready', ARRAY[id, model], (status = 'ready')::int FROM wanted
            ORDER BY created_at DESC LIMIT :deployments
        )
        UNION ALL
        SELECT 'engines', ARRAY[status], count(*) FROM engines
        WHERE status IN ('starting', 'ready') GROUP BY status
    )
    SELECT meter, labels, value::float8 FROM meters WHERE value IS NOT NULL
    """
)

_lock = threading.Lock()
_last: tuple[float, Reading] | None = None


def read() -> Reading:
    """Return the newest reading, 5 s old at most. Raises what the database raises when it is down.

    Ages are seconds by the database's clock; `lease_age_seconds` is how long ago the lease that was
    renewed least recently was renewed.
    """
    global _last  # noqa: PLW0603 - one reading a process
    with _lock:
        if _last is None or time.monotonic() - _last[0] > READ_EVERY_S:
            _last = (time.monotonic(), _of_database() | _of_broker())
        return _last[1]


def forget() -> None:
    """Read again the next time."""
    global _last  # noqa: PLW0603
    with _lock:
        _last = None


def _of_database() -> Reading:
    reading: Reading = defaultdict(dict)
    bounds = {"jobs": JOBS_SHOWN, "deployments": DEPLOYMENTS_SHOWN, "queues": list(queue.QUEUES)}
    with transaction() as session:
        rows = session.execute(QUERY, bounds | {"lease_s": get_settings().lease_s})
        for meter, labels, value in rows:
            reading[meter][tuple(labels)] = value
        age_s = locks.silent_s(session, locks.Lock.KEEPER)
    if age_s is not None:
        reading["keeper_age_seconds"][()] = age_s
    return dict(reading)


def _of_broker() -> Reading:
    try:
        with queue.broker() as client:
            waiting = {(name,): float(client.llen(name)) for name in queue.QUEUES}  # pyright: ignore[reportArgumentType]
    except (redis.RedisError, ValueError):
        return {"broker_up": {(): 0.0}}
    return {"broker_up": {(): 1.0}, "broker_messages": waiting}
