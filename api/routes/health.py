"""Is the process alive, and can it serve? Both without a key."""

from fastapi.responses import JSONResponse

from api import threads
from api.routing import Router
from api.schemas.health import Alive, Readiness
from services.upkeep import health

router = Router(tags=["health"])


@router.get("/healthz", summary="The process is alive")
async def alive() -> Alive:
    """Answer as long as the process lives."""
    return Alive()


@router.get(
    "/readyz",
    summary="Postgres, Redis and the migrations are ready",
    response_model=Readiness,
    responses={503: {"model": Readiness}},
)
async def ready() -> JSONResponse:
    """Answer 503 if the API can't work; `degraded` names what jobs wait for."""
    return await threads.run(threads.PROBES, threads.NO_KEY, look)


def look() -> JSONResponse:
    """Check each part and return what is missing."""
    missing = health.missing()
    degraded = [] if missing else health.degraded()
    status = "unavailable" if missing else "degraded" if degraded else "ok"
    body = {"status": status, "missing": missing, "degraded": degraded}
    return JSONResponse(body, 503 if missing else 200)
