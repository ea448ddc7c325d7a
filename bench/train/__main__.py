"""Our engine against TRL on the same model, pairs and likelihood mode: `make bench`.

Alternates the engines, as many rounds as asked, each in a process of its own; prints a table and
writes it with all raw figures to `bench/results`. Ends with 1 where a floor is missed. Ratios are
of pairs a second within one round, so that a machine that slows down slows both.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoTokenizer

from bench.train.work import MAX_LENGTH, PAIRS_A_STEP, Work
from orpo.formats import Pair, validate
from orpo.methods import parse_method
from orpo.tokenize import tokenize_pairs

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ODDSMITH_SHARED", ROOT.parent / "shared"))
MODEL = ROOT / "var" / "models" / "SmolLM2-135M-Instruct"
PEER = ROOT / "var" / "bench" / "trl"
# File, and pairs that are timed; four more come before them as the warm-up.
DATA = {"oasst": ("oasst_pairs.jsonl", 24), "dpo_en": ("dpo_en_demo.jsonl", 40)}
RATES = {"full": 8e-6, "lora": 2e-4}
# Ratio of pairs a second and of peak memory to the tuned peer: what must hold, what is aimed at.
FLOOR, TARGET = 2.5, 3.0
MEMORY = {"full": 0.60, "lora": 0.55}
GEMM = 2048


def peer() -> Path:
    """The folder with the peer's packages, made on first use; they share torch with ours."""
    pins = (ROOT / "bench" / "train" / "trl.txt").read_text()
    stamp = PEER / "pins.txt"
    if not stamp.exists() or stamp.read_text() != pins:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        what = ["--target", str(PEER), "-r", str(ROOT / "bench" / "train" / "trl.txt")]
        subprocess.run([*command, *what], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(pins)
    return PEER


def select(source: Path, model: Path, count: int, target: Path) -> None:
    """The first `count` pairs of a file that fit whole, both answers, in their normal form."""
    accepted = target.with_suffix(".all")
    validate(source, source.name, accepted, lambda *_: None)
    tokenizer = AutoTokenizer.from_pretrained(model)
    method = parse_method("orpo", {"max_length": MAX_LENGTH, "held_out_fraction": 0})
    lines = accepted.read_text().splitlines()
    pairs = [Pair.from_json(json.loads(line)) for line in lines]
    examples, _, _ = tokenize_pairs(pairs, tokenizer, method)
    fitting = {example.line for example in examples if not example.truncated}
    chosen = [line for line, pair in zip(lines, pairs, strict=True) if pair.line in fitting][:count]
    if len(chosen) < count:
        sys.exit(f"{source.name} has {len(chosen)} pairs within {MAX_LENGTH} tokens, not {count}.")
    target.write_text("".join(line + "\n" for line in chosen))


def run(engine: str, work: Path) -> dict[str, Any]:
    """One training in a process of its own."""
    name, *kind = engine.split("-")
    command = [sys.executable, "-m", f"bench.train.{name}", str(work), *kind]
    env = os.environ | ({"PYTHONPATH": str(peer())} if name == "trl" else {})
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{engine} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def gemm_flops() -> float:
    """bf16 matrix products a second here and now, in FLOP/s: the median of ten."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(GEMM, GEMM, dtype=torch.bfloat16, device=device) for _ in range(2))
    times = []
    for _ in range(12):
        started = time.perf_counter()
        _ = a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return 2 * GEMM**3 / median(times[2:])


def spread(values: Iterable[float]) -> dict[str, float]:
    values = sorted(values)
    return {"median": median(values), "min": values[0], "max": values[-1]}


def summary(rounds: list[dict[str, Any]], engines: list[str], pairs: int) -> dict[str, Any]:
    """What the rounds of one kind of tuning come to, by engine."""
    found: dict[str, Any] = {}
    for engine in engines:
        results = [each[engine] for each in rounds]
        seconds = [sum(result["seconds"]) for result in results]
        found[engine] = {
            "seconds": spread(seconds),
            "pairs_per_s": pairs / median(seconds),
            "peak_gb": median(result["peak_bytes"] for result in results) / 1e9,
        }
        if engine != "ours":
            ours = [each["ours"] for each in rounds]
            found[engine]["ratio"] = spread(
                theirs / sum(mine["seconds"]) for theirs, mine in zip(seconds, ours, strict=True)
            )
            found[engine]["memory"] = median(
                mine["peak_bytes"] / theirs["peak_bytes"]
                for theirs, mine in zip(results, ours, strict=True)
            )
            found[engine]["loss_differs_by"] = max(
                abs(a - b)
                for theirs, mine in zip(results, ours, strict=True)
                for a, b in zip(theirs["loss"], mine["loss"], strict=True)
            )
    ours = rounds[0]["ours"]
    flop = (4 * ours["parameters"] + 2 * ours["trained"]) * ours["tokens"]
    mine = found["ours"]
    mine["useful_tokens"] = ours["tokens"]
    mine["useful_tokens_per_s"] = ours["tokens"] / mine["seconds"]["median"]
    rate = median(each["gemm_flops"] for each in rounds)
    mine["share_of_gemm"] = flop / mine["seconds"]["median"] / rate
    mine["gemm_gflops"] = rate / 1e9
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row an engine and tuning."""
    rows = [
        "| tuning | engine | seconds (min to max) | pairs/s | peak GB | ours is faster | memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for tuning, engines in found.items():
        for engine, of in engines.items():
            s, ratio = of["seconds"], of.get("ratio")
            times = f"{s['median']:.1f} ({s['min']:.1f} to {s['max']:.1f})"
            against = (
                f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) | "
                f"{of['memory']:.0%}"
                if ratio
                else f"{of['useful_tokens_per_s']:.0f} useful tokens/s | "
                f"{of['share_of_gemm']:.0%} of {of['gemm_gflops']:.0f} GFLOP/s"
            )
            rows.append(
                f"| {tuning} | {engine} | {times} | {of['pairs_per_s']:.2f} | "
                f"{of['peak_gb']:.1f} | {against} |"
            )
    return "\n".join(rows)


def missed(found: dict[str, dict[str, Any]]) -> list[str]:
    """The floors that do not hold."""
    wrong = []
    for tuning, engines in found.items():
        tuned = engines.get("trl-tuned")
        if tuned and tuned["ratio"]["median"] < FLOOR:
            wrong.append(f"{tuning}: {tuned['ratio']['median']:.2f}x is below {FLOOR}x")
        if tuned and tuned["memory"] > MEMORY[tuning]:
            wrong.append(
                f"{tuning}: {tuned['memory']:.0%} of its memory, above {MEMORY[tuning]:.0%}"
            )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tuning", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument("--data", choices=DATA, default="oasst")
    parser.add_argument("--peers", nargs="*", default=["tuned", "default"])
    parser.add_argument("--model", type=Path, default=MODEL)
    given = parser.parse_args()
    engines = ["ours", *(f"trl-{kind}" for kind in given.peers)]
    name, pairs = DATA[given.data]
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # for both, as the product sets it
    found, raw = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "pairs.jsonl"
        select(SHARED / "data" / name, given.model, pairs + PAIRS_A_STEP, rows)
        for tuning in given.tuning:
            steps = pairs // PAIRS_A_STEP + 1
            path = Path(folder) / f"{tuning}.json"
            Work(str(given.model), str(rows), tuning, RATES[tuning], steps).write(path)
            raw[tuning] = []
            for number in range(given.rounds):
                order = engines if number % 2 == 0 else engines[::-1]
                results = {engine: run(engine, path) for engine in order}
                raw[tuning].append({**results, "gemm_flops": gemm_flops()})
                times = {engine: sum(results[engine]["seconds"]) for engine in engines}
                said = ", ".join(f"{engine} {s:.1f} s" for engine, s in times.items())
                print(f"{tuning}, round {number + 1}: {said}", file=sys.stderr, flush=True)
            found[tuning] = summary(raw[tuning], engines, pairs)
    print(table(found))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    machine = f"{device}-{len(os.sched_getaffinity(0))}-cores".replace(" ", "-")
    out = (
        ROOT
        / "bench"
        / "results"
        / f"{datetime.now(UTC):%Y-%m-%d}-train-{given.data}-{machine}.json"
    )
    versions = {"torch": torch.__version__}
    out.write_text(json.dumps({"versions": versions, "summary": found, "rounds": raw}, indent=1))
    for sentence in missed(found):
        print(sentence, file=sys.stderr)
    return 1 if missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
