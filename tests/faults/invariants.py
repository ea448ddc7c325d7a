"""What must hold after every fault, read from the database and the disk; see docs/reliability.md.

Asks neither the API nor a worker. Each check returns sentences on what is wrong.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from safetensors import safe_open

from orpo.contract import manifest
from tests.faults.stack import ENDED, TWO_RANKS, Stack, ended_within


def hold(stack: Stack) -> None:
    """Fail with every invariant that is broken."""
    broken = problems(stack)
    assert not broken, "\n".join(broken) + "\n" + stack.logs()


def problems(stack: Stack) -> list[str]:
    """Return what is wrong, each sentence with its invariant's number in front."""
    return [
        f"{check.__name__[:2].upper()}: {sentence}" for check in CHECKS for sentence in check(stack)
    ]


def i1_one_end(stack: Stack) -> list[str]:
    """Each accepted job has exactly one terminal event."""
    ends = stack.rows(
        "SELECT j.id, j.state, count(e.seq) AS n FROM jobs j "
        "LEFT JOIN job_events e ON e.job_id = j.id AND e.terminal GROUP BY j.id"
    )
    found = {row["id"]: row for row in ends}
    lost = [f"the accepted job {job_id} is gone" for job_id in stack.jobs if job_id not in found]
    return lost + [
        f"{job_id} is {found[job_id]['state']} and has {found[job_id]['n']} terminal events"
        for job_id in stack.jobs
        if job_id in found and (found[job_id]["n"] != 1 or found[job_id]["state"] not in ENDED)
    ]


def i2_one_claim(stack: Stack) -> list[str]:
    """At most one claim per job and generation; generations rise one by one."""
    return [
        f"{job_id} was claimed as {claims}"
        for job_id in stack.jobs
        if (claims := _claims(stack, job_id)) != list(range(1, len(claims) + 1))
    ]


def _claims(stack: Stack, job_id: str) -> list[int]:
    rows = stack.rows(
        "SELECT generation FROM job_events WHERE job_id = %s AND data ->> 'state' = 'claimed' "
        "ORDER BY seq",
        job_id,
    )
    return [row["generation"] for row in rows]


def i3_no_late_write(stack: Stack) -> list[str]:
    """Nothing of an old generation was accepted once there was a newer one."""
    return [
        sentence
        for job_id in stack.jobs
        for sentence in (*_late_events(stack, job_id), *_late_rows(stack, job_id))
    ]


def _late_events(stack: Stack, job_id: str) -> list[str]:
    rows = stack.rows(
        "SELECT seq, generation, message FROM job_events WHERE job_id = %s ORDER BY seq", job_id
    )
    return [
        f"{job_id}: generation {late['generation']} wrote '{late['message']}' after "
        f"generation {before['generation']}"
        for before, late in pairwise(rows)
        if late["generation"] < before["generation"]
    ]


def _late_rows(stack: Stack, job_id: str) -> list[str]:
    """What a generation trained again is its own: no older row is left from its first step on."""
    if stack.job(job_id)["state"] != "succeeded":
        return []
    resumed = stack.rows(
        "SELECT generation, (data ->> 'first_step')::int AS step FROM job_events "
        "WHERE job_id = %s AND data ->> 'kind' = 'resumed'",
        job_id,
    )
    return [
        f"{job_id}: {table} of before generation {at['generation']} from step {at['step']} on"
        for at in resumed
        for table in ("metrics", "checkpoints")
        if _older_rows(stack, table, job_id, at)
    ]


def _older_rows(stack: Stack, table: str, job_id: str, at: dict[str, Any]) -> int:
    sound = "AND damaged_at IS NULL" if table == "checkpoints" else ""
    query = f"SELECT 1 FROM {table} WHERE job_id = %s AND step >= %s AND generation < %s {sound}"
    return len(stack.rows(query, job_id, at["step"], at["generation"]))


def i4_checkpoints_load(stack: Stack) -> list[str]:
    """Every listed checkpoint matches its manifest's hashes, and its tensors can be read."""
    found = []
    for job_id in stack.jobs:
        for row in stack.checkpoints(job_id):
            if row["damaged_at"] is None:
                found += _damage(stack, row["path"], row["sha256"])
    return found


def _damage(stack: Stack, path: str, sha256: str) -> list[str]:
    folder = stack.folder.runs / path
    try:
        known = manifest.verify(folder)
        for name in known.files:
            if name.endswith(".safetensors"):
                with safe_open(folder / name, "numpy") as tensors:
                    for key in tensors.keys():  # noqa: SIM118 - not a dict
                        tensors.get_slice(key).get_shape()
    except Exception as error:  # noqa: BLE001 - whatever it is, it doesn't load
        return [f"{path}: {error}"]
    return [] if known.weights_sha256 == sha256 else [f"{path} has other weights than its row says"]


def i5_same_weights(stack: Stack) -> list[str]:
    """A run that was disturbed ends with the very bits of the one that wasn't."""
    if stack.faultless is None:
        return []
    expected = stack.checkpoints(stack.faultless)[-1]["sha256"]
    return [
        f"{job_id} ended with other weights than the faultless run"
        for job_id in stack.jobs
        if _is_twin(stack, job_id) and stack.checkpoints(job_id)[-1]["sha256"] != expected
    ]


def _is_twin(stack: Stack, job_id: str) -> bool:
    job = stack.job(job_id)
    same = {name: job["method"][name] for name in TWO_RANKS} == TWO_RANKS
    return same and job["state"] == "succeeded"


def i6_no_gap(stack: Stack) -> list[str]:
    """The steps of a finished run are there, each once, in the database."""
    found = []
    for job_id in stack.jobs:
        job = stack.job(job_id)
        if job["state"] == "succeeded":
            rows = stack.rows(
                "SELECT step FROM metrics WHERE job_id = %s AND split = 'train' AND name = 'loss' "
                "ORDER BY step",
                job_id,
            )
            if [row["step"] for row in rows] != list(range(1, job["method"]["max_steps"] + 1)):
                found.append(f"{job_id} lacks a step or has one twice: {len(rows)} rows")
    return found


def i7_no_process(stack: Stack) -> list[str]:
    """No training process is left 10 s after the end."""
    if ended_within(stack.tree, 10) is not None:
        return []
    return [f"process {process.pid} is left: {process.cmdline()}" for process in stack.tree()]


def i8_no_secret(stack: Stack) -> list[str]:
    """No key and no password stands in any log or in what a training wrote."""
    written = [*stack.folder.logs.rglob("*"), *stack.folder.runs.rglob("*.log")]
    written += [*stack.folder.runs.rglob("*.json*")]
    return telling(map(str, vars(stack.folder.secrets()).values()), written)


def telling(secrets: Iterable[str], written: Iterable[Path]) -> list[str]:
    """A sentence for each of these files that holds a secret."""
    unsaid = [secret.encode() for secret in secrets]
    return [
        f"{path} holds a secret"
        for path in written
        if path.is_file() and any(secret in path.read_bytes() for secret in unsaid)
    ]


CHECKS: tuple[Callable[[Stack], list[str]], ...] = (
    i1_one_end,
    i2_one_claim,
    i3_no_late_write,
    i4_checkpoints_load,
    i5_same_weights,
    i6_no_gap,
    i7_no_process,
    i8_no_secret,
)
