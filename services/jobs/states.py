"""The states of a job and their legal order, which a trigger of the database enforces, too."""

from models.jobs import JobState

S = JobState
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    S.VALIDATING_FILES: frozenset({S.QUEUED, S.FAILED, S.CANCELLED}),
    S.QUEUED: frozenset({S.CLAIMED, S.PAUSED, S.CANCELLED, S.FAILED}),
    S.CLAIMED: frozenset({S.RUNNING, S.QUEUED, S.FAILED, S.PAUSED, S.CANCELLED}),
    S.RUNNING: frozenset({S.FINALIZING, S.QUEUED, S.FAILED, S.PAUSED, S.CANCELLED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED}),
    S.FINALIZING: frozenset({S.SUCCEEDED, S.QUEUED, S.FAILED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
ENDED = frozenset(state for state, following in TRANSITIONS.items() if not following)
WAITING = frozenset({S.VALIDATING_FILES, S.QUEUED, S.PAUSED})
