"""The judgments of an evaluation: asks the judge for what is missing, and stores each reply once.

A judge that is down or slow, that refuses, and replies without a verdict are counted; the phase
goes on with what there is. It ends with `Unjudged`, whose sentences say what to do, if too few
items have all their judgments.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from evals import judge_prompts
from evals.alpaca_eval import TOP_LOGPROBS
from evals.judge_prompts import Style
from models import Evaluation, Judge
from orpo.contract.rundir import Level
from services.evaluations import asks, judged
from services.evaluations.asks import Ask, Reply
from services.evaluations.judged import Chunk
from services.runs import job_events
from workers.asking import Asker, RefusedError, UnusableError
from workers.holding import Hold

AT_ONCE = 32  # that wait for a place at the judge, or are on their way
# Without one verdict among so many replies, the judge is not asked further.
HOPELESS_AFTER = 20
OWN_JUDGE = (
    "The judge is the {} itself. Models prefer their own answers, so read the win rate with care, "
    "or use another judge."
)


class Unjudged(Exception):
    """There are too few judgments for a score: `message` and `hint` are sentences for the user."""

    code = "not_judged"
    param = "judge"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def find(hold: Hold) -> Judge:
    """Return the evaluation's judge, apart from any session."""
    with hold.step() as session:
        evaluation = session.get_one(Evaluation, hold.job_id)
        judge = session.get_one(Judge, evaluation.judge_id)
        session.refresh(judge)
        session.expunge(judge)
        return judge


def warn_of_own_judge(hold: Hold, judge: Judge, weights: Mapping[str, Any] | None) -> None:
    """Note and say once that the judge is one of the models whose answers it judges."""
    with hold.step() as session:
        evaluation = session.get_one(Evaluation, hold.job_id)
        sides = [] if evaluation.suite == "agreement" else [evaluation.target, evaluation.baseline]
        side = judged.judges_itself(judge, weights, sides)
        is_new = judged.mark_own_judge(session, evaluation, side)
    if is_new:
        warn(hold, OWN_JUDGE.format(side))


def warn(hold: Hold, message: str) -> None:
    """Record what a user should know of the evaluation."""
    with hold.step() as session:
        job_events.record(session, *hold.claim, message=message, level=Level.WARN)


async def ask(hold: Hold, judge: Judge, identity: Mapping[str, Any], asker: Asker) -> None:
    """Ask a judge that writes for every judgment that is missing, and store the replies.

    `identity` is `judges.identity`. If the judge turns out to be unusable, or gives no verdict at
    all, the rest is not asked and counts as failed. Raises Unjudged if there are too few verdicts.
    """
    asking = _Asking(hold, judge, asker)
    async for chunk in chunks(hold, judge, identity):
        await asking.work_off(chunk)
    conclude(hold, judge)


async def chunks(hold: Hold, judge: Judge, identity: Mapping[str, Any]) -> AsyncIterator[Chunk]:
    """Yield all items in their order, some at a time, and tell the progress."""
    last, done = -1, 0
    while True:
        with hold.step() as session:
            evaluation = session.get_one(Evaluation, hold.job_id)
            total = judged.count_items(session, evaluation.id)
            chunk = judged.next_chunk(
                session, evaluation, hold.caller.org_id, judge, identity, last
            )
        if chunk is None:
            return
        yield chunk
        last, done = chunk.last, done + chunk.n_items
        hold.tell("judgments", done, total)
        await asyncio.sleep(0)


def conclude(hold: Hold, judge: Judge) -> None:
    """Say in an event what is missing; raises Unjudged if that is too much for a score."""
    with hold.step() as session:
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
        warn(hold, f"{found.judged} of {found.items} items have a verdict. {found.sentence}")


class _Asking:
    """Asks a judge that writes, and stores the replies as they come."""

    def __init__(self, hold: Hold, judge: Judge, asker: Asker) -> None:
        self._hold, self._judge, self._asker = hold, judge, asker
        self._replies = self._verdicts = 0
        # Why nothing more is asked.
        self._stopped = ""
        self._new: list[Reply] = []
        self._failed: dict[str, str] = {}

    async def work_off(self, chunk: Chunk) -> None:
        """Ask for what is missing of a chunk; raises what `Hold.check` raises."""
        asks = iter([each for each in chunk.missing if isinstance(each, Ask)])
        n_tasks = min(len(chunk.missing), AT_ONCE)
        tasks = [asyncio.create_task(self._some(asks)) for _ in range(n_tasks)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._note_failures(chunk)
        self._hold.check()

    async def _some(self, asks: Iterator[Ask]) -> None:
        """Ask one after the other. The asker bounds how many are on their way."""
        for each in asks:
            if not self._hold.takes_more:
                return
            if self._stopped:
                self._failed[each.key] = self._stopped
                continue
            try:
                said = await self._asker.ask(self._body(each))
            except RefusedError as refused:
                self._failed[each.key] = str(refused)
            except UnusableError as unusable:
                self._stopped = self._failed[each.key] = unusable.message
            else:
                read = judge_prompts.Reply(said.text, said.finish_reason, said.logprobs)
                value = judge_prompts.read(each.style, read)
                self._count(each.style, value, said.finish_reason)
                await self._store(Reply(each.key, said.text, value, said.finish_reason))

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

    async def _store(self, reply: Reply) -> None:
        """Store at once: what is not stored when this worker is killed would be asked again. What
        comes at the same moment is stored together.
        """
        self._new.append(reply)
        await asyncio.sleep(0)
        if self._new:
            new, self._new = self._new, []
            with self._hold.step() as session:
                asks.store(session, self._hold.caller.org_id, new)

    def _note_failures(self, chunk: Chunk) -> None:
        failed, self._failed = self._failed, {}
        why = places(chunk, failed)
        if why:
            with self._hold.step() as session:
                judged.note_failures(session, self._hold.job_id, why)


def places(chunk: Chunk, failed: Mapping[str, str]) -> dict[int, str]:
    """Return why items failed, by their places, from why keys failed."""
    return {place: why for key, why in failed.items() for place in chunk.needed_by[key]}
