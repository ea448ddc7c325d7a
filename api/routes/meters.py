"""`/metrics`: for Prometheus, which sends an API key as any client does.

The meters cover all organisations, so the key must belong to the organisation that runs the
installation.
"""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api import media, threads
from api.deps import CallerDep
from api.meters import REGISTRY
from api.routing import Router

router = Router(tags=["health"])


@router.get(
    "/metrics",
    summary="Meters for Prometheus",
    response_class=Response,
    responses=media.METRICS,
)
async def scrape(caller: CallerDep) -> Response:
    """Return the meters as Prometheus reads them, to a key of the organisation that runs the
    installation.
    """
    caller.require_operator()
    content = await threads.run(threads.PROBES, caller.account, generate_latest, REGISTRY)
    return Response(content, media_type=CONTENT_TYPE_LATEST)
