"""The judgments of a reward model: answers are scored by `python -m orpo.score`, in a sandbox.

Each answer's reward is stored once. Answers to the same prompt are scored together, since their
prompt is then computed once.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from models import Judge
from orpo.contract.failures import Code
from services.evaluations import judges, judgments
from services.evaluations.judged import Chunk
from services.evaluations.judgments import Reply, Scored
from services.platform.database import transaction
from services.platform.errors import OddsmithError
from services.processes.verbs import VerbError, run_verb, time_for
from services.runs import checkpoints
from workers import judging
from workers.holding import Hold
from workers.judging import Unjudged

# Answers of one process: it loads the weights each time, and what it has scored is lost with it.
AT_ONCE = 512
# For each answer, on a slow CPU; and to load the weights.
ANSWER_S, LOAD_S = 60.0, 1800.0


@dataclass(frozen=True)
class RewardModel:
    """The folder of a reward model's checkpoint, and what its rewards are stored under."""

    folder: Path
    identity: Mapping[str, Any]


class _EndedError(Exception):
    """The scoring was cancelled."""


def find(hold: Hold, judge: Judge) -> RewardModel:
    """Return the model of a judge of the kind `reward`; raises Unjudged if it can't be used."""
    try:
        with transaction() as session:
            checkpoint, job = judges.reward_model(session, hold.caller, judge)
            weights = judges.reward_weights(session, checkpoint, job)
            return RewardModel(checkpoints.folder(checkpoint), judges.identity(judge, weights))
    except OddsmithError as error:
        if error.param is None:
            raise
        raise Unjudged(error.message, "Create the evaluation again with another judge.") from None


def score(hold: Hold, judge: Judge, model: RewardModel) -> None:
    """Score all answers that have no reward yet. Raises Unjudged if there are too few rewards."""
    hold.run(_score(hold, judge, model))
    judging.conclude(hold, judge)


async def _score(hold: Hold, judge: Judge, model: RewardModel) -> None:
    waiting: list[tuple[Chunk, list[Scored]]] = []
    async for chunk in judging.chunks(hold, judge, model.identity):
        waiting.append((chunk, [each for each in chunk.missing if isinstance(each, Scored)]))
        if sum(len(scored) for _, scored in waiting) >= AT_ONCE:
            await _work_off(hold, model, waiting)
            waiting = []
    await _work_off(hold, model, waiting)


async def _work_off(
    hold: Hold, model: RewardModel, waiting: Sequence[tuple[Chunk, list[Scored]]]
) -> None:
    wanted = {each.key: each for _, scored in waiting for each in scored}
    if not wanted:
        return
    hold.check()
    ended = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(run, model, list(wanted.values()), ended))
    try:
        replies = await asyncio.shield(task)
    except asyncio.CancelledError:
        ended.set()  # the process ends within half a second
        await asyncio.wait({task})
        raise
    except VerbError as failure:
        if failure.is_fleeting:
            raise
        hint = failure.error.get("hint") or "Create the evaluation again with another judge."
        raise Unjudged(f"The reward model could not score the answers: {failure}", hint) from None
    org_id = hold.caller.org_id
    hold.persist(lambda session: judgments.store(session, org_id, replies))


def run(model: RewardModel, wanted: Sequence[Scored], ended: threading.Event) -> list[Reply]:
    """Score answers in a process; raises VerbError.

    An answer that the model can't read has no value, and its text is the sentence that says why.
    """

    def go_on() -> None:
        if ended.is_set():
            raise _EndedError

    with TemporaryDirectory() as inside:
        rows, out = Path(inside, "rows.jsonl"), Path(inside, "scored", "scored.jsonl")
        out.parent.mkdir()
        groups = _by_prompt(wanted)
        rows.write_bytes(b"".join(_row(group) for group in groups))
        timeout_s = time_for(model.folder, LOAD_S) + ANSWER_S * len(wanted)
        arguments = (str(model.folder), str(rows), str(out))
        run_verb("score", *arguments, timeout_s=timeout_s, meanwhile=go_on)
        with out.open("rb") as lines:
            found = [orjson.loads(line) for line in lines]
    if len(found) != len(groups):
        raise VerbError({"code": Code.INTERNAL, "message": "orpo.score left out rows."})
    return [
        reply
        for group, scored in zip(groups, found, strict=True)
        for reply in _replies(group, scored)
    ]


def _by_prompt(wanted: Sequence[Scored]) -> list[list[Scored]]:
    groups: dict[bytes, list[Scored]] = {}
    for each in wanted:
        groups.setdefault(orjson.dumps(each.prompt), []).append(each)
    return list(groups.values())


def _row(group: Sequence[Scored]) -> bytes:
    # As messages: a bare text that spells messages in JSON would be read as those.
    answers = [{"role": "assistant", "content": each.answer} for each in group]
    row = {"prompt": group[0].prompt, "answers": answers}
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _replies(group: Sequence[Scored], scored: Mapping[str, Any]) -> list[Reply]:
    return [
        Reply(each.key, (problem or {}).get("message", ""), reward)
        for each, reward, problem in zip(group, scored["rewards"], scored["problems"], strict=True)
    ]
