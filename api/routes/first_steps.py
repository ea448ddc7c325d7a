"""`/v1/first_steps`: how far an organisation has come, for the page's first-run checklist."""

from api.deps import CallerDep, ReaderDep
from api.routing import Router
from api.schemas.first_steps import FirstStepsObject
from services.upkeep import first_steps

router = Router(prefix="/v1/first_steps", tags=["administration"])


@router.get("", summary="Which of the first steps are done")
def retrieve(session: ReaderDep, caller: CallerDep) -> FirstStepsObject:
    """Return whether there are pairs, a trained model, a question and a vote, and how many votes
    are new since the last file of votes.
    """
    return FirstStepsObject.from_steps(first_steps.look(session, caller))
