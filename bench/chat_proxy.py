"""The delay that the chat proxy adds to the first token: direct and proxied requests alternate.

    python -m bench.chat_proxy              a running stack (var/stack.json) and its first engine
    python -m bench.chat_proxy --fake       a fake engine that answers at once: the overhead alone

Prints one JSON object: medians in milliseconds, and the median of the pairwise differences.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil

from cli.stack.scratch import scratch_api
from services.files import seed
from tests.api.fake_engine import FakeEngine, deploy
from tests.api.servers import serving

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "Why is the sky blue? Answer in one sentence."
WARM_UP = 5


class Target:
    """One way to the same model, over a connection that is kept alive."""

    def __init__(
        self, url: str, model: str, api_key: str = "none", socket: str | None = None
    ) -> None:
        self.model = model
        headers = {"Authorization": f"Bearer {api_key}"}
        transport = httpx.AsyncHTTPTransport(uds=socket)
        self.client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=120, transport=transport
        )

    async def first_token_ms(self, prompt: str) -> float:
        """Send a streaming request; return the time to the first frame that holds text."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": 4,
            "temperature": 0,
            "stream": True,
        }
        first = None
        started = time.perf_counter()
        async with self.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if first is None and '"content":"' in line and '"content":""' not in line:
                    first = time.perf_counter() - started
        assert first is not None, "the model answered without text"
        return first * 1e3


async def measure(direct: Target, proxy: Target, rounds: int) -> dict[str, Any]:
    """Measure both ways in turn. The order is swapped each round, so drift affects both equally."""
    times: dict[Target, list[float]] = {direct: [], proxy: []}
    for number in range(WARM_UP + rounds):
        # A new prompt per round, and per way: else the second request would hit the prefix cache.
        for way in (direct, proxy) if number % 2 else (proxy, direct):
            taken = await way.first_token_ms(f"{PROMPT} ({number}, {way is direct})")
            if number >= WARM_UP:
                times[way].append(taken)
    added = [b - a for a, b in zip(times[direct], times[proxy], strict=True)]
    return {
        "rounds": rounds,
        "direct_ms": round(statistics.median(times[direct]), 2),
        "proxy_ms": round(statistics.median(times[proxy]), 2),
        "added_ms": round(statistics.median(added), 2),
        "added_p90_ms": round(statistics.quantiles(added, n=10)[-1], 2),
    }


def running_engine() -> tuple[str, str]:
    """Find the Unix socket and the base's name of an engine on this machine by its command line."""
    for process in psutil.process_iter():
        try:
            argv = process.cmdline()
        except psutil.Error:
            continue
        if "--served-model-name" in argv and argv[0] != "/bin/sh":
            socket = argv[argv.index("--uds") + 1]
            return socket, argv[argv.index("--served-model-name") + 1]
    sys.exit("No engine runs: deploy a base model first (`oddsmith models deploy ID`).")


def on_the_stack(stack_file: Path, model: str | None) -> tuple[Target, Target]:
    stack = json.loads(stack_file.read_text())
    socket, name = running_engine()
    direct = Target("http://engine", name, socket=socket)
    return direct, Target(stack["url"], model or name, stack["api_key"])


@contextmanager
def on_a_fake() -> Iterator[tuple[Target, Target]]:
    """Yield both ways to a fake engine; the API is real, on a scratch database."""
    with (
        TemporaryDirectory() as folder,
        scratch_api(Path(folder)) as api,
        serving(FakeEngine(), Path(folder) / "http") as engine_port,
    ):
        os.environ |= api.environment()
        socket = str(Path(folder) / "http")
        deploy(seed.ORG_ID, engine_port, "steady", host=socket)
        direct = Target("http://engine", "steady", socket=socket)
        yield direct, Target(api.url, "acme/steady", api.key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fake", action="store_true", help="before an instant engine")
    parser.add_argument("--stack", type=Path, default=Path("var/stack.json"))
    parser.add_argument("--model", help="the base as the API names it, where that differs")
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    if options.fake:
        with on_a_fake() as (direct, proxy):
            print(json.dumps(asyncio.run(measure(direct, proxy, options.rounds))))
    else:
        direct, proxy = on_the_stack(options.stack, options.model)
        print(json.dumps(asyncio.run(measure(direct, proxy, options.rounds))))


if __name__ == "__main__":
    main()
