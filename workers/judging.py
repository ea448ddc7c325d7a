"""The phase in which a judge is asked for what is missing; each reply is stored once.

A judge that is down or slow, that refuses, and replies without a verdict are counted; the phase
goes on with what there is. It ends with `Unjudged`, whose sentences say what to do, if too few
items have all their judgments.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from evals import judge_prompts
from evals.alpaca_eval import TOP_LOGPROBS
from evals.judge_prompts import Style
from models import Evaluation, Judge
from orpo.contract.rundir import Level
from orpo.rows.thoughts import spoken
from services.evaluations import judged, judges, judgments, worklist
from services.evaluations.judged import Chunk
from services.evaluations.judges import Kind
from services.evaluations.judgments import Ask, Reply
from services.evaluations.suites import AGREEMENT
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import job_events
from services.serving.deployments import Route
from workers import sides
from workers.answering import first_of
from workers.asking import Asker, Patience, RefusedError, Room, UnusableError
from workers.holding import Hold
from workers.sides import Answerer
from workers.storing import Writer

# Without one verdict among so many replies, the judge is not asked further.
HOPELESS_AFTER = 20
OWN_JUDGE = (
    "The judge is the {} itself. Models prefer their own answers, so read the win rate with care, "
    "or use another judge."
)


class Unjudged(UnusableError):
    """There are too few judgments for a score: `message` and `hint` are sentences for the user."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, "not_judged")
        self.hint, self.param = hint, "judge"


@dataclass(frozen=True)
class Writing:
    """A judge that writes, what asks it, and what its replies are stored under."""

    judge: Judge
    answerer: Answerer
    identity: Mapping[str, Any]


def find(hold: Hold) -> Judge:
    """Return the evaluation's judge, apart from any session."""
    with transaction() as session:
        evaluation = session.get_one(Evaluation, hold.job_id)
        judge = session.get_one(Judge, evaluation.judge_id)
        session.refresh(judge)
        session.expunge(judge)
        return judge


def writing(hold: Hold, judge: Judge, routes: Mapping[str, Route]) -> Writing:
    """Return a judge that writes; `routes` are those of the models of ours that are ready.

    Raises UnusableError if the key of an endpoint can't be used.
    """
    if judge.kind == Kind.OPENAI:
        endpoint = (judge.base_url or "", judge.model, judge.secret)
        answerer = sides.of_endpoint(hold.caller.org_id, *endpoint)
        return Writing(judge, answerer, judges.identity(judge))
    answerer = sides.of_model(hold, routes[judge.model])
    return Writing(judge, answerer, judges.identity(judge, answerer.identity))


def ask(hold: Hold, found: Writing, patience: Patience | None = None) -> None:
    """Ask for every judgment that is missing, and store the replies.

    If the judge turns out to be unusable, or gives no verdict at all, the rest is not asked and
    counts as failed. Raises Unjudged if there are too few verdicts.
    """
    _warn_of_own_judge(hold, found)
    hold.run(_ask(hold, found, patience))
    conclude(hold, found.judge)


async def _ask(hold: Hold, found: Writing, patience: Patience | None) -> None:
    room = Room(hold.at_once)
    async with found.answerer.asker(hold, room, patience) as asker:
        asking = _Asking(hold, found.judge, asker)
        async for chunk in chunks(hold, found.judge, found.identity):
            await asking.work_off(chunk)


def _warn_of_own_judge(hold: Hold, found: Writing) -> None:
    """Note and say once that the judge is one of the models whose answers it judges."""

    def note(session: Session) -> None:
        evaluation = session.get_one(Evaluation, hold.job_id)
        if evaluation.suite == AGREEMENT.name:
            return
        answering = [evaluation.target, evaluation.baseline]
        side = judged.judges_itself(found.judge, found.answerer.identity, answering)
        if judged.mark_own_judge(session, evaluation, side):
            warn(session, hold, OWN_JUDGE.format(side))

    hold.persist(note)


def warn(session: Session, hold: Hold, message: str) -> None:
    """Record what a user should know of the evaluation."""
    job_events.record(session, *hold.claim, message=message, level=Level.WARN)


async def chunks(hold: Hold, judge: Judge, identity: Mapping[str, Any]) -> AsyncIterator[Chunk]:
    """Yield all items in their order, some at a time, and tell the progress."""
    last, done = -1, 0

    def look(session: Session) -> tuple[int, Chunk | None]:
        evaluation = session.get_one(Evaluation, hold.job_id)
        total = judged.count_items(session, evaluation.id)
        org_id = hold.caller.org_id
        return total, judged.next_chunk(session, evaluation, org_id, judge, identity, last)

    while True:
        total, chunk = await asyncio.to_thread(hold.persist, look)
        hold.tell("judgments", done, total)
        if chunk is None:
            return
        yield chunk
        last, done = chunk.last, done + chunk.n_items


def conclude(hold: Hold, judge: Judge) -> None:
    """Say in an event what is missing; raises Unjudged if that is too much for a score."""
    with transaction() as session:
        evaluation = session.get_one(Evaluation, hold.job_id)
        found = judged.review(session, evaluation, hold.caller.org_id, judge)
    if not found.items:
        raise Unjudged(
            "There is nothing to judge: no prompt has all its answers.",
            "Look at the evaluation's events: they say why the models did not answer.",
        )
    if not found.is_enough:
        share = f"{found.judged} of {found.items} items have a verdict, too few for a score."
        raise Unjudged(f"{share} {found.sentence}".strip(), found.advice)
    if found.sentence:
        share = f"{found.judged} of {found.items} items have a verdict."
        hold.persist(lambda session: warn(session, hold, f"{share} {found.sentence}"))


class _Asking:
    """Asks a judge that writes, and stores each reply as it comes."""

    def __init__(self, hold: Hold, judge: Judge, asker: Asker) -> None:
        self._hold, self._judge, self._asker = hold, judge, asker
        self._replies = self._verdicts = 0
        # Why nothing more is asked.
        self._stopped = ""

    async def work_off(self, chunk: Chunk) -> None:
        """Ask for what is missing of a chunk; raises what `Hold.check` raises."""
        wanted = iter([each for each in chunk.missing if isinstance(each, Ask)])
        failed: dict[str, str] = {}
        with Writer[Reply](self._store) as writer:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(len(chunk.missing), get_settings().evals_at_once)):
                        group.create_task(self._ask_all(wanted, writer, failed))
            except BaseExceptionGroup as errors:
                raise first_of(errors) from None
        why = places(chunk, failed)
        if why:
            self._hold.persist(lambda session: _note(session, self._hold, why))
        self._hold.check()

    async def _ask_all(
        self, wanted: Iterator[Ask], writer: Writer[Reply], failed: dict[str, str]
    ) -> None:
        """Ask one after the other; those that get no reply are added to `failed`."""
        for each in wanted:
            if not self._hold.takes_more:
                return
            if self._stopped:
                failed[each.key] = self._stopped
                continue
            try:
                said = await self._asker.ask(self._body(each))
            except RefusedError as refused:
                failed[each.key] = str(refused)
            except UnusableError as unusable:
                self._stopped = failed[each.key] = unusable.message
            else:
                text = spoken(said.text)  # a thought may weigh several verdicts
                read = judge_prompts.Reply(text, said.finish_reason, said.logprobs)
                value = judge_prompts.read(each.style, read)
                await writer.put(Reply(each.key, said.text, value, said.finish_reason))
                self._count(each.style, value, said.finish_reason)

    def _body(self, each: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {"messages": each.messages, **self._judge.sampling}
        if each.style is Style.LOGPROBS:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return body

    def _count(self, style: Style, value: float | None, finish_reason: str) -> None:
        self._replies += 1
        self._verdicts += value is not None
        if not self._verdicts and self._replies >= HOPELESS_AFTER and not self._stopped:
            why = judged.reason(style, finish_reason)
            self._stopped = (
                f"the judge was not asked further, because its first {self._replies} replies had "
                f"no verdict (the last: {judged.WHAT[why]})."
            )

    def _store(self, replies: list[Reply]) -> None:
        org_id = self._hold.caller.org_id
        self._hold.persist(lambda session: judgments.store(session, org_id, replies))


def _note(session: Session, hold: Hold, why: Mapping[int, str]) -> None:
    of_judge = {(place, worklist.JUDGE): sentence for place, sentence in why.items()}
    worklist.note_failures(session, hold.job_id, of_judge)


def places(chunk: Chunk, failed: Mapping[str, str]) -> dict[int, str]:
    """Return why items failed, by their places, from why keys failed."""
    return {place: why for key, why in failed.items() for place in chunk.needed_by[key]}
