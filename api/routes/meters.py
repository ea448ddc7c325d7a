"""`/metrics`: for Prometheus, which sends an API key as any client does."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api import threads
from api.deps import CallerDep
from api.meters import REGISTRY
from api.routing import Router

router = Router(tags=["health"])


@router.get("/metrics", include_in_schema=False)
async def scrape(caller: CallerDep) -> Response:
    content = await threads.run(threads.PROBES, caller.account, generate_latest, REGISTRY)
    return Response(content, media_type=CONTENT_TYPE_LATEST)
