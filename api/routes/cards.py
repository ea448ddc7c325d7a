"""`/v1/evaluations/{id}/cards`: blind votes on the stored answers of an evaluation."""

from api.deps import SessionDep, Voter
from api.routing import Router
from api.schemas.cards import DealObject
from api.schemas.text import Id
from services.votes import cards

router = Router(prefix="/v1/evaluations/{evaluation_id}/cards", tags=["votes"])


@router.post("/next", summary="The next card to vote on")
def deal(session: SessionDep, caller: Voter, evaluation_id: Id) -> DealObject:
    """Return the open card of the API key, or deal one. Vote with
    `POST /v1/comparisons/{id}/vote`, which reveals the models of the card before.

    A rater's key learns no model's name while a card is left. 409 if the evaluation has not
    succeeded, or has no two answers to one prompt.
    """
    return DealObject.from_deal(cards.deal(session, caller, evaluation_id))


@router.post("/reveal", summary="Reveal the models of all cards with a vote")
def reveal(session: SessionDep, caller: Voter, evaluation_id: Id) -> DealObject:
    """Reveal which model gave which answer; to a rater's key, once no card is left. These votes
    can't be taken back any more.
    """
    cards.reveal(session, caller, evaluation_id)
    return DealObject.from_deal(cards.deal(session, caller, evaluation_id))
