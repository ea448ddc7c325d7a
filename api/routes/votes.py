"""`/v1/votes`: what people found better, what it says of the models, and the file it becomes."""

from typing import Annotated

from fastapi import Query, Response

from api import threads
from api.deps import CallerDep, ReaderDep, Writer
from api.pages import After, page
from api.routes.files import register
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.comparisons import ComparisonObject
from api.schemas.files import FileObject
from api.schemas.pages import ListPage
from api.schemas.text import Id
from api.schemas.votes import MakeVotesFile, PreviewVotes, Ranking, VotesPreview
from models.comparisons import Choice, Reason
from services.access.callers import Caller
from services.platform.database import reading
from services.platform.pages import Order
from services.votes import files, pairs, rankings, votes
from services.votes.votes import Filter

router = Router(prefix="/v1/votes", tags=["votes"])

Model = Annotated[Id | None, Query(description="Votes on answers of this model.")]
Against = Annotated[Id | None, Query(description="And on answers of this one.")]
OfEvaluation = Annotated[
    Id | None, Query(description="Blind votes on the answers of this evaluation.")
]


@router.get("", summary="List votes", response_model=ListPage[ComparisonObject])
def list_votes(
    session: ReaderDep,
    caller: CallerDep,
    *,
    model: Model = None,
    against: Against = None,
    choice: Choice | None = None,
    reason: Reason | None = None,
    evaluation: OfEvaluation = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 20,
    order: Order = Order.DESC,
) -> Response:
    """List the comparisons that have a vote, with their texts."""
    wanted = Filter(model, against, choice, reason, evaluation)
    found = votes.list_page(session, caller, wanted, after=after, limit=limit, order=order)
    return page(map(ComparisonObject.from_record, found), limit)


@router.get("/ranking", summary="Rank the models by their votes")
async def ranking(
    caller: CallerDep,
    model: Model = None,
    against: Against = None,
    evaluation: OfEvaluation = None,
) -> Ranking:
    """Rank the models that answered side by side, by a Bradley-Terry fit with 95 % intervals.

    A tie counts as half a win for each. Reads the newest 20,000 votes.
    """
    wanted = Filter(model, against, evaluation=evaluation)
    return await threads.run(threads.READING, caller.account, _rank, caller, wanted)


def _rank(caller: Caller, wanted: Filter) -> Ranking:
    with reading() as session:
        return Ranking.from_found(rankings.ranking(session, caller, wanted))


@router.post("/preview", summary="What a file of votes would hold")
async def preview(caller: Writer, body: PreviewVotes) -> VotesPreview:
    """Count what becomes of each vote. Nothing is stored."""
    return await threads.run(threads.READING, caller.account, _preview, caller, body)


def _preview(caller: Caller, body: PreviewVotes) -> VotesPreview:
    with reading() as session:
        return VotesPreview.from_found(pairs.find(session, caller, body.filter.filter()))


@router.post("/files", summary="Make a file of votes")
async def make(caller: Writer, body: MakeVotesFile) -> FileObject:
    """Store the pairs that votes become as a file of preference pairs. Each row names the
    comparison, the models with their weights, and the vote that it is from.

    Held-out prompts of the runs whose models answered are left out. 409 if no vote becomes a pair.
    """
    return await threads.run(threads.READING, caller.account, _make, caller, body)


def _make(caller: Caller, body: MakeVotesFile) -> FileObject:
    with reading() as session:
        received = files.write(session, caller, body.filter.filter(), body.filename)
    return register(caller, received)
