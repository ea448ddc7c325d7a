"""`/v1/comparisons`: several models answer side by side, and a user votes."""

from fastapi import Response
from starlette.responses import StreamingResponse

from api import media, places, sse, threads, upstream
from api.comparison_stream import Side, together
from api.deps import CallerDep, Chatter, ReaderDep, SessionDep, Voter, Writer
from api.pages import whole
from api.places import PlacesDep
from api.routing import Router
from api.schemas.comparisons import CompareRequest, ComparisonObject, StopSide
from api.schemas.deleted import Deleted
from api.schemas.text import Id
from api.schemas.votes import CastVote
from models import Comparison
from services.access.callers import Caller
from services.platform.database import transaction
from services.serving import comparisons
from services.serving.admission import admitted
from services.serving.deployments import Route
from services.votes import votes

router = Router(tags=["chat"])


@router.post(
    "/v1/comparisons",
    summary="Let two to four deployed models answer side by side",
    response_class=StreamingResponse,
    responses=media.EVENTS,
)
async def compare(caller: Chatter, room: PlacesDep, body: CompareRequest) -> StreamingResponse:
    """Stream the answers of all sides, each at its own pace. A side that fails does not end others.

    The first frame names the models that answer (ComparisonBegun); then come pieces of text
    (SideDelta) and an end for each side (SideEnded, SideFailed). The answers are stored.
    """
    asked = body.asked()
    field = "sides.{}.model" if body.sides else "models.{}"
    routes = [
        await upstream.find_route(caller, request.model, field.format(side))
        for side, request in enumerate(asked)
    ]
    field = "sides.{}.messages" if body.sides else "messages"
    bodies = [  # refuses what must not be sent to a model, before anything is stored
        admitted(route, request.upstream(route.upstream_model), field.format(side))
        for side, (route, request) in enumerate(zip(routes, asked, strict=True))
    ]
    await room.take(len(asked), sum(places.cost(request, answers=1) for request in asked))
    begun = await threads.run(threads.REQUESTS, caller.account, _begin, caller, body, routes)
    sides = [Side(side, *each) for side, each in enumerate(zip(routes, bodies, strict=True))]
    return sse.respond(together(caller.account, begun, sides), "comparison")


def _begin(caller: Caller, body: CompareRequest, routes: list[Route]) -> ComparisonObject:
    asked = [request.model_dump(exclude_none=True, exclude={"model"}) for request in body.asked()]
    held_out = body.held_out.model_dump() if body.held_out else None
    with transaction() as session:
        param = "sides" if body.sides else "messages"
        begun = comparisons.begin(session, caller, routes, asked, held_out, param)
        return ComparisonObject.from_record(begun)


@router.get(
    "/v1/comparisons/{comparison_id}", summary="One comparison", response_model=ComparisonObject
)
def retrieve(session: ReaderDep, caller: CallerDep, comparison_id: Id) -> Response:
    """Return what each side was asked and answered, the weights that answered, and the vote."""
    return _whole(comparisons.get(session, caller, comparison_id))


def _whole(comparison: Comparison) -> Response:
    return whole(ComparisonObject.from_record(comparison))


@router.delete("/v1/comparisons/{comparison_id}", summary="Delete a comparison and its vote")
def delete(session: SessionDep, caller: Writer, comparison_id: Id) -> Deleted:
    """Delete a comparison with its texts and its vote."""
    comparisons.delete(session, caller, comparison_id)
    return Deleted(id=comparison_id, object="comparison")


@router.post(
    "/v1/comparisons/{comparison_id}/stop",
    summary="End one side's answer here",
    response_model=ComparisonObject,
)
def stop(session: SessionDep, caller: Chatter, comparison_id: Id, body: StopSide) -> Response:
    """End one side with the text that it has; the others go on."""
    return _whole(comparisons.stop(session, caller, comparison_id, body.side))


@router.post(
    "/v1/comparisons/{comparison_id}/vote",
    summary="Say which answer was better",
    response_model=ComparisonObject,
)
def vote(session: SessionDep, caller: Voter, comparison_id: Id, body: CastVote) -> Response:
    """Store a vote, which replaces an earlier one. 409 unless two sides have answered."""
    return _whole(votes.cast(session, caller, comparison_id, body.vote()))


@router.delete(
    "/v1/comparisons/{comparison_id}/vote",
    summary="Take a vote back",
    response_model=ComparisonObject,
)
def undo_vote(session: SessionDep, caller: Voter, comparison_id: Id) -> Response:
    """Remove the vote; the comparison stays."""
    return _whole(votes.undo(session, caller, comparison_id))
