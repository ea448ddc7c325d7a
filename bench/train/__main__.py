"""Our engine against TRL on the same model, pairs and likelihood mode: `make bench`.

Alternates the engines for the given number of rounds, each run in a process of its own. Prints a
table and writes it with all raw figures to `bench/results`. Exits with 1 if a floor is missed. A
ratio compares pairs per second within one round, so that a slower machine slows both. The peer with
its default settings takes minutes and has no floor: it runs in the first round only. Shapes that
need a GPU (`shapes.py`) are measured only if there is one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoTokenizer

from bench.base import demo_model
from bench.machine import Machine, machine
from bench.train import report
from bench.train.shapes import SHAPES, draw
from bench.train.work import MAX_LENGTH, PAIRS_A_STEP, Work
from orpo.contract.methods import parse_method
from orpo.rows.formats import Pair, validate
from orpo.run import speed
from orpo.tokens.tokenize import tokenize_pairs

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ODDSMITH_SHARED", ROOT.parent / "shared"))
PEER = ROOT / "var" / "bench" / "trl"
MADE = ROOT / "var" / "bench" / "models"
SHORT = "examples"
# File, and number of timed pairs; one more step (4 pairs) comes first as the warm-up.
DATA = {
    "oasst": (SHARED / "data" / "oasst_pairs.jsonl", 24),
    "dpo_en": (SHARED / "data" / "dpo_en_demo.jsonl", 40),
    SHORT: (ROOT / "examples" / "short-answers.jsonl", 24),
}
RATES = {"full": 8e-6, "lora": 2e-4}
GEMM = 2048


def peer() -> Path:
    """Return the folder with the peer's packages, made on first use; they use our torch."""
    pins = (ROOT / "bench" / "train" / "trl.txt").read_text()
    stamp = PEER / "pins.txt"
    if not stamp.exists() or stamp.read_text() != pins:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        what = ["--target", str(PEER), "-r", str(ROOT / "bench" / "train" / "trl.txt")]
        subprocess.run([*command, *what], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(pins)
    return PEER


def select(source: Path, model: Path, count: int | None, target: Path) -> None:
    """Write the first `count` pairs of a file that are not truncated, in their normal form; all
    of these if `count` is None.
    """
    if not source.exists():
        sys.exit(f"{source.name} is not on this machine. `--data examples` takes our own pairs.")
    accepted = target.with_suffix(".all")
    validate(source, source.name, accepted, lambda *_: None)
    tokenizer = AutoTokenizer.from_pretrained(model)
    method = parse_method("orpo", {"max_length": MAX_LENGTH, "held_out_fraction": 0})
    lines = accepted.read_text().splitlines()
    pairs = [Pair.from_json(json.loads(line)) for line in lines]
    examples, _, _ = tokenize_pairs(pairs, tokenizer, method)
    fitting = {example.line for example in examples if not example.truncated}
    chosen = [line for line, pair in zip(lines, pairs, strict=True) if pair.line in fitting][:count]
    if len(chosen) < (count or 1):
        sys.exit(f"{source.name} has {len(chosen)} pairs within {MAX_LENGTH} tokens, not {count}.")
    target.write_text("".join(line + "\n" for line in chosen))


def run(engine: str, work: Path) -> dict[str, Any]:
    """Train once in a process of its own; return its figures."""
    name, *kind = engine.split("-")
    command = [sys.executable, "-m", f"bench.train.{name}", str(work), *kind]
    env = os.environ | ({"PYTHONPATH": str(peer())} if name == "trl" else {})
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{engine} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def gemm_flops() -> float:
    """The device's current speed in bf16 matrix products, in FLOP/s: the median of ten."""
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


def works(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Work | None, list[str]]]:
    """The rows of the table: name, work (None if it needs a GPU and there is none), engines."""
    all_peers = [f"trl-{kind}" for kind in given.peers]
    tuned = [peer for peer in all_peers if peer == "trl-tuned"]
    for model in given.model or [str(demo_model()), *SHAPES]:
        shape = SHAPES.get(model)
        if shape is None:
            source, pairs = DATA[given.data]
            rows = folder / "pairs.jsonl"
            select(source, Path(model), pairs + PAIRS_A_STEP, rows)
            for tuning in given.tuning:
                steps = pairs // PAIRS_A_STEP + 1
                work = Work(model, str(rows), tuning, RATES[tuning], steps)
                yield tuning, work, ["ours", *all_peers]
        elif shape.tuning in given.tuning:
            can = given.small or torch.cuda.is_available()
            work = shaped(model, given, folder) if can else None
            # With its default settings the peer runs out of memory on a shape of this size.
            yield f"{model} {shape.tuning}", work, ["ours", *tuned]


def shaped(name: str, given: argparse.Namespace, folder: Path) -> Work:
    """The work for a shape: its model, and pairs drawn from a set of long ones."""
    size = ["small"] if given.small else []
    shape = SHAPES[name].small() if given.small else SHAPES[name]
    fitting, rows = folder / "fitting.jsonl", folder / f"{name}.jsonl"
    made = MADE / "-".join([name, *size])
    subprocess.run(  # in a process of its own, which frees the GPU when it ends
        [sys.executable, "-m", "bench.train.shapes", name, str(demo_model()), str(made), *size],
        cwd=ROOT,
        check=True,
    )
    select(DATA["dpo_en"][0], made, None, fitting)
    draw(fitting, (shape.steps + shape.warmup) * shape.pairs_a_step, rows)
    return Work(
        str(made),
        str(rows),
        shape.tuning,
        RATES[shape.tuning],
        shape.steps + shape.warmup,
        pairs_a_step=shape.pairs_a_step,
        warmup=shape.warmup,
        token_budget=given.token_budget or shape.token_budget,
        peer_pairs=given.peer_pairs or shape.peer_pairs,
    )


def measure(name: str, work: Work, engines: list[str], rounds: int) -> list[dict[str, Any]]:
    """Train with each engine in turn, for this number of rounds."""
    measured = []
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        path = Path(file.name)
        work.write(path)
        for number in range(rounds):
            order = [e for e in engines if number == 0 or e != "trl-default"]
            order = order if number % 2 == 0 else order[::-1]
            results = {engine: run(engine, path) for engine in order}
            measured.append({**results, "gemm_flops": gemm_flops()})
            times = {engine: sum(results[engine]["seconds"]) for engine in order}
            said = ", ".join(f"{engine} {s:.1f} s" for engine, s in times.items())
            print(f"{name}, round {number + 1}: {said}", file=sys.stderr, flush=True)
    return measured


def show_profile(name: str, work: Work) -> None:
    """Train once with our engine; print the share of time of each operator."""
    print(f"\n{name}", flush=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        work.write(Path(file.name))
        command = [sys.executable, "-m", "bench.train.profile", file.name]
        subprocess.run(command, cwd=ROOT, check=True)


def store(data: str, found: report.Found, raw: dict[str, Any]) -> None:
    """Write the results so far."""
    here = this_machine()
    out = ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-train-{data}-{here.slug}.json"
    about = {"machine": here.to_json(), "versions": {"torch": torch.__version__}}
    out.write_text(json.dumps({**about, "summary": found, "rounds": raw}, indent=1))


def this_machine() -> Machine:
    return machine(torch.cuda.get_device_name() if torch.cuda.is_available() else None)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tuning", nargs="+", choices=RATES, default=list(RATES))
    # Files outside the repository may be missing.
    pairs = next(name for name, (source, _) in DATA.items() if source.exists())
    parser.add_argument("--data", choices=DATA, default=pairs)
    parser.add_argument("--peers", nargs="*", default=["tuned", "default"])
    parser.add_argument("--model", nargs="+", help="by default the demo's base, and the shapes")
    parser.add_argument(
        "--small", action="store_true", help="small models of the shapes: tries all, on a CPU too"
    )
    parser.add_argument("--profile", action="store_true", help="ours, by operators")
    parser.add_argument("--token-budget", type=int, help="ours, of a shape")
    parser.add_argument(
        "--peer-pairs", type=int, help="the tuned peer's a forward pass, of a shape"
    )
    return parser.parse_args()


def main() -> int:
    given = arguments()
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # for both engines, as the product sets it
    found: report.Found = {}
    raw: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, work, engines in works(given, Path(folder)):
            found[name] = {}
            if work is not None and given.profile:
                show_profile(name, work)
            elif work is not None:
                raw[name] = measure(name, work, engines, given.rounds)
                pairs = (work.steps - work.warmup) * work.pairs_a_step
                found[name] = report.summary(raw[name], engines, pairs, speed.peak_flops())
                if not given.small:
                    store(given.data, found, raw)
    if given.profile:
        return 0
    print(f"Pairs of {DATA[given.data][0].name}, on {this_machine()}.\n\n{report.table(found)}")
    floors = report.FLOORS
    if given.small:
        print("\nThese models are too small for their figures to mean anything: nothing is stored.")
        floors = {}
    elif given.data == SHORT:
        print("\nThese pairs are too short to share much; floors are stated for the others.")
        floors = {}
    wrong = report.missed(found, floors)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
