"""What runs reached on their held-out pairs: the first and the newest measurement of each.

Lists of runs are sorted and filtered by these, so they are read for a page of jobs at once.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from orpo.contract.numbers import Series
from orpo.contract.rundir import Split

# Fields of a measurement, and the series with their values.
FIELDS = {
    "accuracy": Series.ACCURACY,
    "accuracy_low": Series.ACCURACY_LOW,
    "accuracy_high": Series.ACCURACY_HIGH,
    "log_odds_ratio": Series.LOG_ODDS_RATIO,
    "reward_margin": Series.REWARD_MARGIN,
}
# Two rows of each series by its primary key, however long the run was. A value that was not finite
# is NULL and is passed over.
ENDS = text("""
    SELECT job.id, name.name, ends.place, ends.step, ends.value
    FROM unnest(CAST(:ids AS text[])) AS job (id)
    CROSS JOIN unnest(CAST(:names AS text[])) AS name (name)
    CROSS JOIN LATERAL (
        (SELECT 'before' AS place, step, value FROM metrics
         WHERE job_id = job.id AND split = :split AND name = name.name AND value IS NOT NULL
         ORDER BY step LIMIT 1)
        UNION ALL
        (SELECT 'after', step, value FROM metrics
         WHERE job_id = job.id AND split = :split AND name = name.name AND value IS NOT NULL
         ORDER BY step DESC LIMIT 1)
    ) AS ends
""")

# {"before": {"step", "accuracy", ...}, "after": the same}
Outcome = dict[str, dict[str, Any]]


def read(session: Session, job_ids: Sequence[str]) -> dict[str, Outcome]:
    """Return the outcome of each of these jobs that has measured its held-out pairs, by id.

    `before` is the first measurement, `after` the newest; if there is only one, it is both.
    The caller has checked that the jobs are of its organisation.
    """
    if not job_ids:
        return {}
    found: dict[str, Outcome] = defaultdict(lambda: {"before": _empty(), "after": _empty()})
    fields = {series: field for field, series in FIELDS.items()}
    values = {"ids": list(job_ids), "names": [*fields], "split": Split.HELD_OUT}
    for job_id, name, place, step, value in session.execute(ENDS, values):
        measured = found[job_id][place]
        measured[fields[name]] = value
        measured["step"] = max(measured["step"], step)
    return dict(found)


def _empty() -> dict[str, Any]:
    return {"step": 0} | dict.fromkeys(FIELDS)
