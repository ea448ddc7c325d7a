"""The application: middleware, errors, one router a noun. Started as `uvicorn --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import errors
from api.limits import BodyLimit
from api.requests import Requests
from api.routes import api_keys, base_models, files, health
from services import logs

DESCRIPTION = """OpenAI's fine-tuning API, self-hosted: preference files in, models tuned with ORPO
out, served beside their base. Where OpenAI has a path and an object, these are the same."""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    logs.configure()
    yield


def create_app() -> FastAPI:
    app = FastAPI(
        title="Oddsmith",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        # Both pages load their script from a public CDN, which a self-hosted product must not.
        docs_url=None,
        redoc_url=None,
    )
    errors.install(app)
    for noun in (files, base_models, api_keys, health):
        app.include_router(noun.router)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit)
    app.add_middleware(Requests)
    return app
