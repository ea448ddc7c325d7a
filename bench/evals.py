"""The speed of evaluation suites: IFEval on GPT-4's 541 answers, 10,000 judgments summarised, and
as many stored in Postgres and summarised from there.

The first needs the shared evaluation data: `ODDSMITH_SHARED` names its folder. Each part runs in a
process of its own, so that its peak memory is its own.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import insert

from bench.base import ROOT
from bench.machine import machine
from cli.stack.scratch import alembic, scratch_postgres
from models import Evaluation, EvaluationItem, Judge
from models.jobs import JobState, Purpose

JUDGMENTS = 10_000
ORDERS = 2
CATEGORIES = 8
AT_ONCE = 100  # judgments that a worker stores in one transaction
LETTERS = 1_500  # of an answer, on average


def ifeval() -> dict[str, float]:
    """Read 541 prompts, check their answers strictly and loosely, and summarise with intervals."""
    from evals.ifeval.score import check, read, scores  # noqa: PLC0415 - its import is measured

    folder = Path(os.environ["ODDSMITH_SHARED"]) / "data" / "evaluations"
    prompts, answers = (
        [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]
        for name in ("ifeval_prompts.jsonl", "ifeval_gpt4_responses.jsonl")
    )
    read_prompts = [read(row) for row in prompts]
    found = scores(
        {
            prompt: check(prompt, row["response"])
            for prompt, row in zip(read_prompts, answers, strict=True)
        }
    )
    assert found.prompt_strict is not None, "every prompt has an answer"
    return {"answers": len(answers), "prompt_strict": found.prompt_strict.value}


def judgments() -> dict[str, float]:
    """Summarise judgments of 10,000 pairs in both orders, and their length-controlled rate."""
    from evals import length_control, verdicts  # noqa: PLC0415 - as above

    draw = random.Random(0)
    given = {
        at: [verdicts.Verdict(draw.choice((0, 0.5, 1)), draw.choice((0, 0.5, 1)))]
        for at in range(JUDGMENTS)
    }
    ours, theirs = ([draw.randint(100, 4_000) for _ in given] for _ in range(2))
    found = verdicts.preference(given)
    outcomes = [verdicts.outcome(group[0]) or 0.0 for group in given.values()]
    length_control.win_rate(outcomes, ours, theirs)
    return {"pairs": JUDGMENTS, "draws": found.draws}


def stored() -> dict[str, float]:
    """Store the judgments of 5,000 pairs in both orders, in transactions of 100 as a worker does,
    and summarise the evaluation: preference with its length-controlled rate, by 8 categories too.

    On a Postgres of its own whose commits are durable. The items and answers are there before.
    """
    with _database():
        from services.evaluations import judgments, scores  # noqa: PLC0415 - needs the database's URL
        from services.platform.database import transaction  # noqa: PLC0415

        evaluation_id, org_id, replies = _laid_out()
        began = time.perf_counter()
        for at in range(0, len(replies), AT_ONCE):
            with transaction() as session:
                judgments.store(session, org_id, replies[at : at + AT_ONCE])
        stored_s = time.perf_counter() - began
        with transaction() as session:
            evaluation = session.get_one(Evaluation, evaluation_id)
            summary = scores.summarise(session, evaluation, org_id)
            scores.store(session, evaluation, summary)
        seconds = time.perf_counter() - began
    return {
        "judgments": len(replies),
        "judged_pairs": summary.counts["judged"],
        "stored_s": round(stored_s, 2),
        "summarised_s": round(seconds - stored_s, 2),
        "seconds": round(seconds, 2),
    }


@contextmanager
def _database() -> Iterator[None]:
    with TemporaryDirectory() as folder, scratch_postgres(Path(folder), durable=True) as postgres:
        os.environ["ODDSMITH_DATABASE_URL"] = url = postgres.sqlalchemy_url()
        alembic(url, "upgrade", "head")
        yield


def _laid_out() -> tuple[str, str, Sequence[Any]]:
    """Write an evaluation with its items and answers; return its id, its organisation's, and the
    judge's replies, which are not stored.
    """
    from services.evaluations.answers import New  # noqa: PLC0415 - as above
    from services.evaluations.answers import store as store_answers  # noqa: PLC0415
    from services.evaluations.judgments import Reply  # noqa: PLC0415
    from services.platform.database import transaction  # noqa: PLC0415
    from tests import records  # noqa: PLC0415

    draw = random.Random(0)
    pairs = range(JUDGMENTS // ORDERS)
    sides = ("answers", "baseline_answers")
    with transaction() as session:
        owner = records.caller(session)
        job = records.job(session, owner, JobState.QUEUED, purpose=Purpose.EVALUATION)
        judge = Judge(
            id="judge", org_id=owner.org_id, name="j", kind="openai", model="m", sampling={}
        )
        session.add(judge)
        session.flush()
        session.add(
            Evaluation(
                id=job.id, suite="custom", target={}, baseline={"model": "b"}, judge_id=judge.id,
                orders=ORDERS, sampling={}, options={}, counts={}, scores=[], details={},
            )
        )  # fmt: skip
        session.flush()
        texts = [
            New(f"{side} {at}", "word " * draw.randint(LETTERS // 50, LETTERS * 2 // 5))
            for side in sides for at in pairs
        ]  # fmt: skip
        store_answers(session, owner.org_id, texts)
        items = [
            {
                "evaluation_id": job.id, "place": at, "line": at + 1, "reference": {},
                "category": f"category {at % CATEGORIES}",
                "turns": [[{"role": "user", "content": "word " * 60}]],
                **{side: [f"{side} {at}"] for side in sides},
                "judgments": [f"{at} {order}" for order in range(ORDERS)],
            }
            for at in pairs
        ]  # fmt: skip
        session.execute(insert(EvaluationItem), items)
    replies = [
        Reply(f"{at} {order}", "reason " * 30, draw.choice((0.0, 0.5, 1.0)), "stop")
        for at in pairs
        for order in range(ORDERS)
    ]
    return job.id, owner.org_id, replies


PARTS = {"ifeval": ifeval, "judgments": judgments, "stored": stored}


def run(name: str) -> None:
    """Run one part in this process and print what it took; a part may have its own `seconds`."""
    began = time.perf_counter()
    found = PARTS[name]()
    seconds = found.pop("seconds", time.perf_counter() - began)
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The processor time tells how much of the seconds is due to other work on the machine; it
    # includes imports and what is there before.
    row = {
        "part": name,
        **found,
        "seconds": round(seconds, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1_000),
    }
    print(json.dumps(row))


def main() -> None:
    print(machine())
    for name in PARTS:
        if name == "ifeval" and "ODDSMITH_SHARED" not in os.environ:
            print("ifeval: skipped, ODDSMITH_SHARED names no folder with the answers.")
            continue
        subprocess.run([sys.executable, "-m", "bench.evals", name], check=True, cwd=ROOT)


if __name__ == "__main__":
    run(sys.argv[1]) if sys.argv[1:] else main()
