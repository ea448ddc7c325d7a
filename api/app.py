"""The application: middleware, errors, one router a noun. Started as `uvicorn --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import document, errors, sse, web
from api.limits import BodyLimit
from api.requests import Requests
from api.routes import (
    api_keys,
    audit_log,
    base_models,
    cards,
    chat,
    comparisons,
    deep_audits,
    deployments,
    estimates,
    evaluations,
    exports,
    files,
    first_steps,
    health,
    jobs,
    judges,
    meters,
    methods,
    overlaps,
    rereads,
    rows,
    session,
    statistics,
    storage_use,
    suites,
    system,
    tokens,
    uploads,
    versions,
    votes,
    webhooks,
    workers,
)
from api.schemas.errors import ErrorBody
from api.standing import Standing
from services.platform import logs, traces
from services.platform.version import VERSION

DESCRIPTION = """OpenAI's fine-tuning API, self-hosted: preference files in, models tuned with ORPO
out, served beside their base. Where OpenAI has a path and an object, these are the same.

Send an API key as `Authorization: Bearer sk-odd-...`; `x-scope` says which scope it needs."""

NOUNS = (
    files, rereads, rows, tokens, statistics, overlaps, uploads, versions, exports, deep_audits,
    estimates, jobs, methods, evaluations, suites, judges, base_models, deployments, chat,
    comparisons, votes, cards, webhooks, api_keys, session, workers, system, health, meters,
    storage_use, audit_log, first_steps,
)  # fmt: skip


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Configure logs and traces; at the end, wait until open streams have sent their last event."""
    logs.configure()
    traces.configure("api")
    yield
    # uvicorn has cancelled the open streams, and ends the process when this returns.
    await sse.until_left()


def create_app() -> FastAPI:
    """Return the application: routes, error handlers, the document, the page, and limits."""
    app = FastAPI(
        title="Oddsmith",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        # Both pages load their script from a public CDN, which a self-hosted product must not.
        docs_url=None,
        redoc_url=None,
        # Takes the place of FastAPI's own 422, which we never send.
        responses={
            "4XX": {"model": ErrorBody, "description": "The request can't be carried out"},
            "5XX": {"model": ErrorBody, "description": "Something is down or broken here"},
        },
    )
    errors.install(app)
    for noun in NOUNS:
        app.include_router(noun.router)
    document.install(app)
    web.install(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit)
    app.add_middleware(Standing)
    app.add_middleware(Requests)
    return app
