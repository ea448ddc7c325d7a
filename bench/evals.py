"""The speed of evaluation suites: IFEval on GPT-4's 541 answers, and 10,000 judgments summarised.

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
from pathlib import Path

from bench.base import ROOT
from bench.machine import machine

JUDGMENTS = 10_000


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
    return {"answers": len(answers), "prompt_strict": found.prompt_strict.value}  # type: ignore[union-attr]


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


PARTS = {"ifeval": ifeval, "judgments": judgments}


def run(name: str) -> None:
    """Run one part in this process and print what it took."""
    began = time.perf_counter()
    found = PARTS[name]()
    seconds = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    row = {"part": name, **found, "seconds": round(seconds, 2), "peak_mb": round(peak_mb)}
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
