"""Answers of an evaluation against the same prompts sent straight to the engine: `make
bench-answers`.

Deploys the demo's base in a stack of its own and asks it the same number of prompts in turn: by an
evaluation, and over the engine's socket with as many requests at once. An evaluation that is
repeated asks nothing, so its time is that of all but the answers, and is subtracted. Prints a line
a round and the ratio of throughputs. Exits with 1 if it is below 0.9.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import psutil

from cli.client.http import Client, connect, wait_until
from cli.commands.uploads import validated
from cli.demo import demo, trial
from cli.stack.folder import Folder
from cli.view import output
from cli.view.checklist import Checklist
from cli.view.output import CommandError
from services.platform.settings import get_settings

AT_LEAST = 0.9
TOKENS = 64
DEPLOY = "Deploy the base model"
ENDED = {"succeeded", "failed", "cancelled"}


def prompts(round_: int, side: str, n: int) -> list[str]:
    """Prompts of equal lengths that no other round has: neither side finds a kept answer."""
    things = ("rivers", "tools", "songs", "cities", "birds", "games", "meals", "books")
    return [
        f"Round {round_}, {side}, number {at}: tell me about {things[at % len(things)]} in full."
        for at in range(n)
    ]


def by_evaluation(client: Client, texts: list[str]) -> float:
    """Return the seconds in which an evaluation had its answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.jsonl"
        rows = (
            {
                "key": at,
                "prompt": text,
                "instruction_id_list": ["punctuation:no_comma"],
                "kwargs": [{}],
            }
            for at, text in enumerate(texts)
        )
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        file = client.upload(path, purpose="evals")["id"]
    validated(client, file)
    body = {
        "model": trial.BASE_MODEL,
        "suite": "ifeval",
        "data": file,
        "sampling": {"temperature": 0, "max_tokens": TOKENS},
    }
    first, again = (evaluate(client, body) for _ in range(2))
    return first - again


def evaluate(client: Client, body: dict[str, Any]) -> float:
    began = time.monotonic()
    made = client.post("/v1/evaluations", body)
    path = f"/v1/evaluations/{made['id']}"
    found = wait_until(client, path, lambda each: each["status"] in ENDED)
    if found["status"] != "succeeded":
        raise CommandError(f"The evaluation {found['status']}: {found['error']}")
    return time.monotonic() - began


def straight(texts: list[str], at_once: int) -> float:
    """Return the seconds in which the engine answered the prompts."""
    return asyncio.run(_straight(texts, at_once))


async def _straight(texts: list[str], at_once: int) -> float:
    waiting = iter(texts)
    transport = httpx2.AsyncHTTPTransport(uds=socket())
    began = time.monotonic()
    async with httpx2.AsyncClient(transport=transport, timeout=600, trust_env=False) as http:

        async def work() -> None:
            for text in waiting:
                body = {
                    "model": trial.BASE_MODEL,
                    "messages": [{"role": "user", "content": text}],
                    "temperature": 0,
                    "max_tokens": TOKENS,
                }
                answer = await http.post("http://engine/v1/chat/completions", json=body)
                answer.raise_for_status()

        await asyncio.gather(*(work() for _ in range(at_once)))
    return time.monotonic() - began


def socket() -> str:
    """The Unix socket of the engine that this stack has started."""
    for process in psutil.Process().children(recursive=True) + list(psutil.process_iter()):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "--uds" in words:
            return words[words.index("--uds") + 1]
    raise CommandError("No engine listens on a Unix socket.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder, checklist = Folder(), Checklist({demo.START: 15.0, demo.UNPACK: 5.0, DEPLOY: 60.0})
    folder.make()
    at_once = get_settings().evals_at_once
    ratios = []
    with demo.signals_as_interrupt(), ExitStack() as at_end:
        demo.prepare(checklist, folder, at_end)
        client = connect()
        trial.register_base(client, demo.base_folder(folder))
        with checklist.step(DEPLOY) as step:
            trial.deploy(client, step, [trial.BASE_MODEL])
        straight(prompts(0, "warm up", at_once), at_once)
        for round_ in range(1, given.rounds + 1):
            bare_s = straight(prompts(round_, "straight", given.prompts), at_once)
            ours_s = by_evaluation(client, prompts(round_, "evaluate", given.prompts))
            ratios.append(bare_s / ours_s)
            output.say(
                f"round {round_}: {given.prompts} answers, {at_once} at once: straight "
                f"{bare_s:.1f} s, evaluation {ours_s:.1f} s, throughput {ratios[-1]:.2f}"
            )
    ratio = statistics.median(ratios)
    output.say(f"Median: {ratio:.2f} of the engine's own throughput (at least {AT_LEAST}).")
    return 0 if ratio >= AT_LEAST else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandError as error:
        sys.exit(str(error))
