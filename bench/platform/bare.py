"""The smallest server of the same shape: `uvicorn bench.platform.bare:app`.

Synchronous endpoints, a bearer key checked against a cached hash, the same database and a pool of
the same size; no layers, no error handling, no fences. Only its speed matters.
"""

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Header, HTTPException, Request, UploadFile
from sqlalchemy import create_engine, text
from starlette.responses import Response, StreamingResponse

app = FastAPI()
engine = create_engine(os.environ["ODDSMITH_DATABASE_URL"], pool_size=10, max_overflow=30)
reader = engine.execution_options(isolation_level="AUTOCOMMIT")
known = {hashlib.sha256(os.environ["ODDSMITH_FIRST_KEY"].encode()).hexdigest()}
BLOCK_BYTES = 2**20
# One queue per client of the stream.
queues: set[asyncio.Queue[bytes]] = set()

INSERT_KEY = text("""
    INSERT INTO idempotency_keys (api_key_id, key, request_sha256, resource_id)
    VALUES (:owner, :key, :sha256, :id)
""")
INSERT_JOB = text("""
    INSERT INTO jobs (id, org_id, api_key_id, base_model, training_file, method, seed, metadata,
                      request_sha256, state, desired_state, priority, generation, attempts,
                      result_files)
    SELECT :id, org_id, :owner, :model, :file, CAST(:method AS jsonb), 0, '{}', :sha256,
           'validating_files', 'run', 0, 0, 0, '[]'
    FROM api_keys WHERE id = :owner
    RETURNING *
""")
INSERT_MESSAGE = text("""
    INSERT INTO outbox (task, arguments) VALUES ('prepare.next', CAST(:arguments AS jsonb))
""")


async def check(authorization: Annotated[str, Header()]) -> None:
    key = authorization.removeprefix("Bearer ")
    if hashlib.sha256(key.encode()).hexdigest() not in known:
        raise HTTPException(401)


@app.get("/jobs/{job_id}", dependencies=[Depends(check)])
def retrieve(job_id: str) -> dict[str, Any]:
    with reader.connect() as connection:
        found = connection.execute(text("SELECT * FROM jobs WHERE id = :id"), {"id": job_id})
        return dict(found.mappings().one())


@app.post("/jobs", dependencies=[Depends(check)])
def create(body: dict[str, Any], idempotency_key: Annotated[str, Header()]) -> dict[str, Any]:
    values = {
        "id": f"ftjob-{secrets.token_hex(12)}",
        "owner": os.environ["BENCH_KEY_ID"],
        "key": idempotency_key,
        "sha256": hashlib.sha256(json.dumps(body).encode()).hexdigest(),
        "model": body["model"],
        "file": body["training_file"],
        "method": json.dumps(body["method"]),
    }
    with engine.begin() as connection:
        connection.execute(INSERT_KEY, values)
        job = connection.execute(INSERT_JOB, values).mappings().one()
        connection.execute(INSERT_MESSAGE, {"arguments": json.dumps({"job_id": values["id"]})})
    return dict(job)


@app.post("/v1/files", dependencies=[Depends(check)])
def upload(file: UploadFile, purpose: Annotated[str, Form()]) -> dict[str, Any]:
    key = secrets.token_hex(12)
    digest = hashlib.sha256()
    with (Path(os.environ["ODDSMITH_VAR"]) / key).open("wb") as stored:
        while block := file.file.read(BLOCK_BYTES):
            digest.update(block)
            stored.write(block)
        stored.flush()
        os.fsync(stored.fileno())
        size_bytes = stored.tell()
    return {"id": key, "bytes": size_bytes, "purpose": purpose, "sha256": digest.hexdigest()}


@app.get("/stream", dependencies=[Depends(check)])
async def stream() -> StreamingResponse:
    return StreamingResponse(frames(), media_type="text/event-stream")


async def frames() -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)
    try:
        yield b": hello\n\n"
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


@app.post("/publish")
async def publish(request: Request) -> Response:
    frame = await request.body()
    for queue in queues:
        queue.put_nowait(frame)
    return Response(status_code=204)


@app.get("/healthz")
async def alive() -> dict[str, str]:
    return {"status": "ok"}
