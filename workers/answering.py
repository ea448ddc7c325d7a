"""The phase in which both sides of an evaluation answer its prompts.

What was answered before, in this evaluation or another one, is not asked. Each answer is stored as
it comes, so that a killed worker loses only what was on its way. Knows no suite's scores.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sqlalchemy.orm import Session

from models import Evaluation, Job
from services.evaluations import answers, worklist
from services.evaluations.suites import Side
from services.evaluations.worklist import Change, Item
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import job_events
from workers.asking import Asker, Patience, RefusedError, Room
from workers.holding import Hold
from workers.sides import Answerer
from workers.storing import Writer


@dataclass
class Talk:
    """An item as one side answers it, `samples` times one after the other: the keys and texts of
    the answers up to now.
    """

    item: Item
    side: Side
    samples: int = 1
    keys: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def length(self) -> int:
        """How many answers it has once it is done."""
        return len(self.item.turns) * self.samples

    @property
    def is_done(self) -> bool:
        return len(self.keys) == self.length

    @property
    def sample(self) -> int:
        """The sample that the next answer belongs to, from 0."""
        return len(self.keys) // len(self.item.turns)

    def messages(self) -> list[dict[str, Any]]:
        """The conversation up to the next user turn, each earlier turn with its answer."""
        own = self.texts[self.sample * len(self.item.turns) :]
        return answers.conversation(self.item.turns, own)

    def take(self, key: str, text: str) -> None:
        self.keys.append(key)
        self.texts.append(text)


@dataclass(frozen=True)
class Answered:
    """What became of a talk just now, and the answer that came for it."""

    change: Change
    new: answers.New | None = None


class Answering:
    """Asks what is missing. Use `run` once."""

    def __init__(
        self,
        hold: Hold,
        evaluation: Evaluation,
        sides: Mapping[Side, Answerer],
        patience: Patience | None = None,
    ) -> None:
        self._hold, self._evaluation, self._sides = hold, evaluation, sides
        self._patience = patience
        with transaction() as session:
            self._items = worklist.load(session, hold.job_id)
        self._samples = answers.samples(evaluation)
        self._total = sum(self._asked(item) for item in self._items) * len(sides)
        self._done = 0
        self._by_key: dict[str, asyncio.Future[answers.New]] = {}
        self._writer = Writer(self._store)

    async def run(self) -> None:
        """Ask until each item has its answers or a reason why not, or the hold ends."""
        waiting = await asyncio.to_thread(self._reuse)
        rooms: dict[str, Room] = {}
        async with AsyncExitStack() as stack:
            stack.enter_context(self._writer)
            try:
                async with asyncio.TaskGroup() as group:
                    for side, answerer in self._sides.items():
                        room = rooms.setdefault(answerer.engine, Room(self._hold.at_once))
                        asker = answerer.asker(self._hold, room, self._patience)
                        await stack.enter_async_context(asker)
                        left = deque(talk for talk in waiting if talk.side == side)
                        for _ in range(min(len(left), get_settings().evals_at_once)):
                            group.create_task(self._ask_all(left, asker))
            except BaseExceptionGroup as failed:
                raise first_of(failed) from None

    def _reuse(self) -> list[Talk]:
        """Take the answers that are known, turn by turn; return the talks that are not whole."""
        talks = [
            Talk(item, side, self._samples)
            for item in self._items
            for side in self._sides
            if side not in item.failures
        ]
        going_on = talks
        while going_on:
            keys = [self._key(talk) for talk in going_on]
            with transaction() as session:
                known = answers.known(session, self._hold.caller.org_id, keys)
            reached = []
            for talk, key in zip(going_on, keys, strict=True):
                if key in known:
                    talk.take(key, known[key])
                    reached.append(talk)
            going_on = [talk for talk in reached if not talk.is_done]
        self._done = sum(len(talk.keys) for talk in talks)
        self._done += sum(
            self._asked(item)
            for item in self._items
            for side in self._sides
            if side in item.failures
        )
        self._note_reused(talks)
        self._tell()
        return [talk for talk in talks if not talk.is_done]

    def _note_reused(self, talks: list[Talk]) -> None:
        changes = [
            Change(talk.item.place, talk.side, talk.keys)
            for talk in talks
            if talk.keys and talk.keys != talk.item.keys[talk.side]
        ]
        reused = sum(len(change.keys) for change in changes)

        def write(session: Session) -> None:
            worklist.note_answers(session, self._hold.job_id, changes)
            if reused:
                message = f"{reused} of {self._total} answers are known already."
                job_events.record(session, *self._hold.claim, message=message)

        self._hold.persist(write)

    def _key(self, talk: Talk) -> str:
        identity = self._sides[talk.side].identity
        return answers.key(identity, talk.messages(), self._sampling(talk), talk.sample)

    def _asked(self, item: Item) -> int:
        return answers.asked(self._evaluation, len(item.turns))

    def _sampling(self, talk: Talk) -> dict[str, Any]:
        """The sampling of a request, with a seed of its own for each sample. The seed decides on
        nothing where the likeliest token is taken, and would only hide answers that are known.
        """
        sampling = dict(self._evaluation.sampling)
        if "temperature" not in sampling and self._evaluation.suite == "mt_bench":
            from evals.mt_bench import TEMPERATURES  # noqa: PLC0415 - the other workers lack numpy

            sampling["temperature"] = TEMPERATURES.get(talk.item.category or "", 0.7)
        if sampling.get("temperature") != 0:
            sampling["seed"] = answers.seed_of(self._hold.seed, talk.sample)
        return sampling

    async def _ask_all(self, left: deque[Talk], asker: Asker) -> None:
        while left and self._hold.takes_more:
            await self._finish(left.popleft(), asker)

    async def _finish(self, talk: Talk, asker: Asker) -> None:
        """Ask a talk's missing turns in order; a turn without an answer ends it."""
        place, side = talk.item.place, talk.side
        try:
            while not talk.is_done and self._hold.takes_more:
                body = {"messages": talk.messages(), **self._sampling(talk)}
                new = await self._answer(self._key(talk), body, asker)
                talk.take(new.key, new.text)
                # Stored before the next request: a worker that is killed then asks nothing twice.
                await self._writer.put(Answered(Change(place, side, list(talk.keys)), new))
                self._done += 1
        except RefusedError as refusal:
            change = Change(place, side, list(talk.keys), failure=str(refusal))
            await self._writer.put(Answered(change))
            self._done += talk.length - len(talk.keys)
        self._tell()

    async def _answer(self, key: str, body: dict[str, Any], asker: Asker) -> answers.New:
        """Return the answer; two talks with the same key ask once."""
        if key in self._by_key:
            return await asyncio.shield(self._by_key[key])
        self._by_key[key] = asking = asyncio.get_running_loop().create_future()
        try:
            reply = await asker.ask(body)
        except asyncio.CancelledError:
            asking.cancel()
            raise
        except Exception as error:
            asking.set_exception(error)
            asking.exception()  # read: no warning if no other talk waits for it
            raise
        new = answers.New(
            key,
            reply.text,
            reply.thought,
            reply.finish_reason,
            reply.prompt_tokens,
            reply.completion_tokens,
        )
        asking.set_result(new)
        return new

    def _store(self, answered: list[Answered]) -> None:
        new = {each.new.key: each.new for each in answered if each.new is not None}
        # An item's last state alone: a statement updates each row once.
        last = {(each.change.place, each.change.side): each.change for each in answered}

        def write(session: Session) -> None:
            answers.store(session, self._hold.caller.org_id, list(new.values()))
            worklist.note_answers(session, self._hold.job_id, list(last.values()))
            # An answer is progress, as a checkpoint is in a training.
            session.get_one(Job, self._hold.job_id).attempts = 0

        self._hold.persist(write)

    def _tell(self) -> None:
        self._hold.tell("answers", self._done, self._total)


def first_of(failed: BaseExceptionGroup) -> BaseException:
    """The first error of a group of tasks, of groups within it, too."""
    return next(iter(_leaves(failed)))


def _leaves(failed: BaseExceptionGroup) -> Iterator[BaseException]:
    return chain.from_iterable(
        _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
        for each in failed.exceptions
    )
