"""The rows of the load table: each measures one side once and returns its figures."""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Coroutine
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import orjson
import psutil
import psycopg
import uvloop
from psycopg.types.numeric import Int8

from bench import upload as uploads
from bench.platform.stage import Side, Stage
from bench.series import TRAIN
from orpo.contract.rundir import METRICS
from services.platform.database import transaction
from services.runs import metrics
from tests import load
from workers import files as file_tasks
from workers.tail import RunTail

Figures = dict[str, float]
CONNECTIONS = 64
# Steps before the measured ones: from them our server learns when the next step is due.
WARM_UP = 2
LINES = 10_000
BATCH = 1000
TEXTS = ("prompt", "chosen", "rejected")
UPLOAD_BYTES = 512 * 2**20
PATH = "/v1/fine_tuning/jobs"
# Arrays in psycopg's binary format: its fastest way that can replace existing rows.
UPSERT = b"""
    INSERT INTO metrics (job_id, split, name, step, generation, value, t)
    SELECT %s, 'train', name, step, 1, value, now()
    FROM unnest(%b::text[], %b::int8[], %b::float8[]) AS point (name, step, value)
    ON CONFLICT (job_id, split, name, step) DO UPDATE
    SET generation = excluded.generation, value = excluded.value, t = excluded.t
    WHERE metrics.generation <= excluded.generation
"""


def get_job(stage: Stage, side: Side, seconds: float) -> Figures:
    """GET one job over and over."""
    path = f"{PATH if side is Side.OURS else '/jobs'}/{stage.job_id}"
    question = load.request("GET", path, stage.key)
    return _asked(stage, side, lambda: question, seconds)


def create_job(stage: Stage, side: Side, seconds: float) -> Figures:
    """Create jobs, each with its own Idempotency-Key."""
    method = {"type": "orpo", "orpo": {"hyperparameters": {"lambda": 0.25}}}
    body = {"model": stage.base_model, "training_file": stage.training_file, "method": method}
    path, sent = PATH if side is Side.OURS else "/jobs", json.dumps(body).encode()

    def ask() -> bytes:
        key = f"Idempotency-Key: {secrets.token_hex(12)}"
        return load.request("POST", path, stage.key, sent, key)

    return _asked(stage, side, ask, seconds)


def _asked(stage: Stage, side: Side, ask: Any, seconds: float) -> Figures:
    url, before_s = stage.url(side), stage.cpu_s(side)
    answers = _run(load.ask_all(url, ask, connections=CONNECTIONS, seconds=seconds))
    if set(answers.statuses) != {"200"}:
        raise RuntimeError(f"{side} answered {dict(answers.statuses)}.")
    # Includes the warm-up. Unlike the other figures, it hardly depends on other processes' load.
    cpu_us = 1e6 * (stage.cpu_s(side) - before_s) / answers.asked
    return answers.figures() | {"cpu_us": cpu_us}


def _run(load_client: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load_client)


def fan_out(stage: Stage, side: Side, clients: int, every_s: float, rounds: int) -> Figures:
    """Follow one job with so many clients while a step is written every `every_s` seconds."""
    stage.restart(side)
    return follow_job(stage, side, stage.claimed_job(), clients, every_s, rounds)


def follow_job(
    stage: Stage, side: Side, job_id: str, clients: int, every_s: float, rounds: int
) -> Figures:
    """The same for an existing job, without a restart of the server."""
    return _run(_follow_job(stage, side, job_id, clients, every_s, rounds))


async def _follow_job(
    stage: Stage, side: Side, job_id: str, clients: int, every_s: float, rounds: int
) -> Figures:
    path = f"{PATH}/{job_id}/stream" if side is Side.OURS else "/stream"
    tell = _write_step if side is Side.OURS else _post_step
    ask = load.request("GET", path, stage.key)
    before_bytes, began_at = stage.rss_bytes(side), time.perf_counter()
    async with load.following(stage.url(side), ask, clients) as followers:
        connect_s = time.perf_counter() - began_at
        await asyncio.sleep(2)
        published: dict[int, float] = {}
        before_s = 0.0
        for step in range(1, WARM_UP + rounds + 1):
            turn = asyncio.create_task(asyncio.sleep(every_s))
            if step == WARM_UP + 1:
                published, before_s = {}, stage.cpu_s(side)
            published[step] = await asyncio.to_thread(tell, stage, job_id, step)
            await turn
        await asyncio.sleep(2)
        cpu_s = stage.cpu_s(side) - before_s
        delays, missing = load.delays_s(followers, published)
        grown_bytes = stage.rss_bytes(side) - before_bytes
    return {
        "p50_ms": 1e3 * load.quantile(delays, 0.5),
        "p99_ms": 1e3 * load.quantile(delays, 0.99),
        "missing": missing,
        "cpu_us": 1e6 * cpu_s / max(1, len(delays)),
        "kib_a_client": grown_bytes / clients / 1024,
        "connect_s": connect_s,
    }


def line(step: int) -> dict[str, Any]:
    """A line of the journal's metrics as a training step writes it."""
    values = {str(name): 1 / (step + place + 3) for place, name in enumerate(TRAIN)}
    return {"step": step, "t": time.time(), "split": "train", "values": values}


def _write_step(stage: Stage, job_id: str, step: int) -> float:  # noqa: ARG001 - called alike
    """Commit a step, and return when that was done."""
    with transaction() as session:
        metrics.write(session, job_id, 1, [line(step)])
    return time.perf_counter()


def _post_step(stage: Stage, job_id: str, step: int) -> float:  # noqa: ARG001 - called alike
    """Send the bare server as many bytes as our frames have; return when that began."""
    point = {"step": step, "split": "train", "values": line(step)["values"]}
    frame = b"id: 2.%d.-1\nevent: metrics\ndata: %b\n\n" % (step, orjson.dumps(point))
    began_at = time.perf_counter()
    with urlopen(Request(f"{stage.url(Side.BARE)}/publish", frame), timeout=60):  # noqa: S310
        return began_at


def points(stage: Stage, side: Side) -> Figures:
    """Store a run's metrics in Postgres, fenced."""
    job_id = stage.claimed_job()
    if side is Side.OURS:
        run_dir = stage.folder / job_id
        run_dir.mkdir()
        with (run_dir / METRICS).open("wb") as file:
            file.writelines(orjson.dumps(line(step)) + b"\n" for step in range(LINES))
        began_at = time.perf_counter()
        RunTail(run_dir, job_id, 1).drain()
        return {"per_s": LINES * len(TRAIN) / (time.perf_counter() - began_at)}
    with psycopg.connect(os.environ["ODDSMITH_DATABASE_URL"].replace("+psycopg", "")) as connection:
        return {
            "per_s": _bare_upsert(connection, job_id),
            "copy_per_s": _bare_copy(connection, stage.claimed_job()),
        }


def _rows(job_id: str) -> list[tuple[Any, ...]]:
    t = "2026-01-01T00:00:00Z"
    return [
        (job_id, "train", name, step, 1, value, t)
        for step in range(LINES)
        for name, value in line(step)["values"].items()
    ]


def _bare_upsert(connection: psycopg.Connection[Any], job_id: str) -> float:
    """Points per second by `INSERT ... ON CONFLICT`, 1,000 rows and one fence per transaction."""
    rows = _rows(job_id)
    fence = b"SELECT 1 FROM jobs WHERE id = %s AND generation = 1 FOR UPDATE"
    began_at = time.perf_counter()
    for start in range(0, len(rows), BATCH):
        with connection.transaction():
            connection.execute(b"SET LOCAL synchronous_commit = off")
            connection.execute(fence, [job_id])
            _, _, names, steps, _, values, _ = zip(*rows[start : start + BATCH], strict=True)
            wide = [Int8(step) for step in steps]
            connection.execute(UPSERT, [job_id, list(names), wide, list(values)])
    return len(rows) / (time.perf_counter() - began_at)


def _bare_copy(connection: psycopg.Connection[Any], job_id: str) -> float:
    """Points per second by COPY, which can neither replace nor fence."""
    rows = _rows(job_id)
    columns = "job_id, split, name, step, generation, value, t"
    began_at = time.perf_counter()
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy(f"COPY metrics ({columns}) FROM STDIN".encode()) as copy,
    ):
        for row in rows:
            copy.write_row(row)
    return len(rows) / (time.perf_counter() - began_at)


def upload(stage: Stage, side: Side) -> Figures:
    """Upload a file of pairs, then validate it row by row and write the accepted rows."""
    server = stage.servers[side]
    uploads.upload(server.url, server.key, 1)
    before_bytes, peak = stage.rss_bytes(side), uploads.Peak(psutil.Process(server.process.pid))
    peak.start()
    began_at = time.perf_counter()
    file = uploads.upload(server.url, server.key, UPLOAD_BYTES)
    sent_s = time.perf_counter() - began_at
    peak.done.set()
    judged_s, peak_bytes = _alone(_judge if side is Side.OURS else _judge_barely, str(file["id"]))
    size_mb = int(str(file["bytes"])) / 1e6
    return {
        "mb_per_s": size_mb / (sent_s + judged_s),
        "peak_mb": peak_bytes / 1e6,
        "upload_mb_per_s": size_mb / sent_s,
        "validation_mb_per_s": size_mb / judged_s,
        "api_growth_mb": (peak.bytes - before_bytes) / 1e6,
    }


def _alone(work: Any, argument: str) -> tuple[float, int]:
    """Run `work` in a process of its own; return seconds and peak memory in bytes."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, argument).result()


def _judge(file_id: str) -> tuple[float, int]:
    began_at = time.perf_counter()
    file_tasks.validate(file_id)
    return time.perf_counter() - began_at, peak_bytes()


def _judge_barely(key: str) -> tuple[float, int]:
    """The minimal validation: check that each text is there; write the pairs to another file."""
    began_at, path = time.perf_counter(), Path(os.environ["ODDSMITH_VAR"]) / key
    with path.open("rb") as file, path.with_suffix(".rows").open("wb") as pairs:
        for each in file:
            row = orjson.loads(each)
            if all(isinstance(row[name], str) and row[name] for name in TEXTS):
                pairs.write(orjson.dumps({name: row[name] for name in TEXTS}) + b"\n")
        pairs.flush()
        os.fsync(pairs.fileno())
    return time.perf_counter() - began_at, peak_bytes()


def peak_bytes() -> int:
    """The peak memory of this process, as the kernel counts it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
