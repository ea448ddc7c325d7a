"""A job as a stream: state, metric deltas and events, from where the client left off.

All clients that follow a job in this process share one log of it. The log has one reader of
Postgres, and its frames are encoded once. A client older than the log reads from Postgres until it
has caught up. No session is held between two reads.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api import job_news, sse, threads
from api.deps import look_up_job
from api.job_news import Message, News, Place, frames
from models.jobs import Purpose
from services.access.callers import Caller
from services.platform.errors import Unavailable

logger = logging.getLogger("oddsmith.api")

# How long a log waits between two reads that find nothing. One part is a share of the silence so
# far: a job that writes often is read often, and one that is silent for hours costs almost nothing.
# The other part is a share of the difference between this silence and the last one, because steps
# come at regular intervals. REST_S are the shortest and the longest wait.
REST_S = (0.02, 0.5)
REST_SHARE = 1 / 50
OFF_BEAT_SHARE = 1 / 20
# The limit of all logs of this process together; one read takes about 2 ms of a core.
READS_A_SECOND = 100
# A log drops its oldest batches beyond this size. A running job's last minutes need far less.
LOG_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read found. `frames` are those for a client at the place `before`."""

    before: Place
    after: Place
    frames: bytes
    messages: tuple[Message, ...] = ()

    def frames_after(self, place: Place) -> tuple[bytes, Place]:
        """What a client at `place` has not received yet, and the place after that."""
        if place == self.before:
            return self.frames, self.after
        # Without messages it is a heartbeat.
        return frames(place, self.messages) if self.messages else (self.frames, place)


class Log:
    """The newest batches of a job, numbered from `first` to `end`, without `end`."""

    def __init__(self, caller: Caller, job_id: str, purpose: Purpose = Purpose.TRAIN) -> None:
        self.caller, self.job_id, self.purpose = caller, job_id, purpose
        self.followers = 0
        self.start: Place | None = None  # everything after it is here, or was not read yet
        self.place = Place()
        self.batches: list[Batch] = []
        self.end = 0
        self.size_bytes = 0
        self.news: News | None = None  # the newest
        self.ended = self.broken = False
        self._spoke_at = self._heard_at = time.monotonic()
        self._beat_s = 0.0  # how long the job was silent before the newest messages
        self._more = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @property
    def first(self) -> int:
        return self.end - len(self.batches)

    def begin(self, place: Place, news: News) -> None:
        """Begin the log at `place`, with what was found after it.

        A log that has begun before goes back far enough that no client misses anything. No client
        receives anything twice.
        """
        self.start = self.place = place if self.start is None else place.lowest(self.place)
        self.batches, self.size_bytes, self.news = [], 0, None
        self._publish(news)
        self._reader = self._reader or asyncio.create_task(self._read_on())

    def holds(self, place: Place) -> bool:
        return self.start is not None and place.reaches(self.start)

    def all_behind(self, place: Place) -> tuple[bytes, Place]:
        """The present state, and what comes after `place`, which the log must hold."""
        moves = [m for batch in self.batches for m in batch.messages if m.part is not None]
        return frames(place, [self.news.state, *moves] if self.news else moves)

    async def more(self) -> None:
        await self._more.wait()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    async def _read_on(self) -> None:
        try:
            while not self.ended:
                place, began_at = self.place, time.monotonic()
                version = self.news.version if self.news else None
                news = await threads.run(
                    threads.REQUESTS,
                    self.caller.account,
                    job_news.read,
                    self.caller,
                    self.job_id,
                    place,
                    version,
                    self.purpose,
                )
                took_s = time.monotonic() - began_at
                if place == self.place:  # otherwise the log began again meanwhile
                    self._publish(news)
                # However much a run writes, reading takes at most half of the time.
                await asyncio.sleep(took_s if news and news.messages else self._rest_s())
        except Exception:
            logger.exception("a job can't be read", extra={"job": self.job_id})
            self.broken = True
            self._wake()

    def _rest_s(self) -> float:
        shortest, longest = REST_S
        silence_s = time.monotonic() - self._heard_at
        rest_s = REST_SHARE * silence_s + OFF_BEAT_SHARE * abs(self._beat_s - silence_s)
        return max(shortest, min(longest, rest_s), len(_logs) / READS_A_SECOND)

    def _publish(self, news: News | None) -> None:
        """Append what a read found; `news` is None if nothing has changed since the last read."""
        messages = news.messages if news else []
        if news and (self.news is None or news.state.data != self.news.state.data):
            messages = [news.state, *messages]
        self.news = news or self.news
        if messages:
            framed, after = frames(self.place, messages)
            self._append(Batch(self.place, after, framed, tuple(messages)))
            self.place = after
            now = time.monotonic()
            self._beat_s, self._heard_at = now - self._heard_at, now
        elif time.monotonic() - self._spoke_at > sse.HEARTBEAT_S:
            self._append(Batch(self.place, self.place, sse.HEARTBEAT))
        if self.news and self.news.ended and not (news and news.messages):
            self.ended = True
            self._wake()

    def _append(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.end += 1
        self.size_bytes += len(batch.frames)
        while self.size_bytes > LOG_BYTES and len(self.batches) > 1:
            oldest = self.batches.pop(0)
            self.start = oldest.after
            self.size_bytes -= len(oldest.frames)
        self._spoke_at = time.monotonic()
        self._wake()

    def _wake(self) -> None:
        woken, self._more = self._more, asyncio.Event()
        woken.set()


_logs: dict[str, Log] = {}


async def admit(caller: Caller, job_id: str, purpose: Purpose = Purpose.TRAIN) -> None:
    """Raise NotFound before a stream begins; no query if the organisation follows the job."""
    log = _logs.get(job_id)
    if log is None or (log.caller.org_id, log.purpose) != (caller.org_id, purpose):
        await threads.run(threads.REQUESTS, caller.account, look_up_job, caller, job_id, purpose)


@contextmanager
def joined(caller: Caller, job_id: str, purpose: Purpose = Purpose.TRAIN) -> Iterator[Log]:
    """Yield the job's log, which exists as long as a client follows the job."""
    log = _logs.get(job_id)
    if log is None or log.broken:
        log = _logs[job_id] = Log(caller, job_id, purpose)
    log.followers += 1
    try:
        yield log
    finally:
        log.followers -= 1
        if log.followers == 0:
            log.close()
            if _logs.get(job_id) is log:
                del _logs[job_id]


async def follow(
    caller: Caller, job_id: str, last_event_id: str | None, purpose: Purpose = Purpose.TRAIN
) -> AsyncGenerator[bytes, None]:
    """Yield frames until the job has ended and everything was sent; then `done`."""
    place, at = Place.parse(last_event_id), -1
    with joined(caller, job_id, purpose) as log:
        while True:
            if log.broken:
                raise Unavailable("The job can't be read just now. Connect again in a few seconds.")
            if at < log.first and log.holds(place):
                (framed, place), at = log.all_behind(place), log.end
            elif at < log.first:  # a new client, or one older than the log
                news = await threads.run(
                    threads.REQUESTS,
                    caller.account,
                    job_news.read_whole,
                    caller,
                    job_id,
                    place,
                    purpose,
                )
                if log.start is None or not (news.messages or log.holds(place)):
                    log.begin(place, news)
                    continue
                framed, place = frames(place, [news.state, *news.messages])
            elif at < log.end:
                (framed, place), at = log.batches[at - log.first].frames_after(place), at + 1
            elif log.ended:
                yield job_news.done(place)
                return
            else:
                await log.more()
                continue
            if framed:
                yield framed
