"""The speed and memory of checking preference files.

256 MB of explicit JSONL: today's validation with all exact findings, the validation of commit
0c7d3bd, and a bare loop of `orjson.loads`, in turn. The same rows as Parquet. Then
10,000, 100,000 and a million pairs through the whole audit: time and peak memory.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench.base import ROOT, made_by_one
from bench.machine import machine

FOLDER = ROOT / "var" / "bench"
BEFORE = "0c7d3bd"
SIZE_BYTES = 256 * 10**6
POINTS = (10_000, 100_000, 1_000_000)
SENTENCES = 20_000
POLL_S = 0.02
MOST_VERSION_BYTES = 10**10
RECIPE = [
    {"step": "deduplicate", "by": "near"},
    {"step": "map", "action": "strip"},
    {"step": "filter", "field": "chosen", "min_chars": 100},
    {"step": "balance", "seed": 1},
    {"step": "split", "held_out": 0.1, "seed": 1},
]
BEFORE_RUN = """
import sys
from pathlib import Path
from orpo.formats import validate
validate(Path(sys.argv[1]), "pairs.jsonl", Path(sys.argv[2]))
"""
LOOP = """
import sys, orjson
with open(sys.argv[1], "rb") as file:
    for line in file:
        orjson.loads(line)
"""


@dataclass(frozen=True)
class Run:
    """What a command took; the memory is that of all its processes together, and so is the time
    of processors.
    """

    seconds: float
    processor_s: float
    peak_mb: float
    printed: str


def timed(command: list[str], path: Path = ROOT, *, watched: bool = False) -> Run:
    """Run a command to its end. Raises CalledProcessError if it fails.

    Its memory is measured only if it is watched, because that takes a quarter of a core from it.
    """
    began, used_s, peak = time.perf_counter(), _processor_s(), 0
    with subprocess.Popen(
        command, cwd=path, env={"PYTHONPATH": str(path), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        seen = psutil.Process(process.pid)
        while watched and process.poll() is None:
            peak = max(peak, _held_bytes(seen))
            time.sleep(POLL_S)
        printed = process.stdout.read() if process.stdout else ""
        process.wait()
        seconds = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(seconds, _processor_s() - used_s, peak / 1e6, printed)


def _processor_s() -> float:
    """What ended processes that were started here took, and those that these started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _held_bytes(process: psutil.Process) -> int:
    try:
        return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def write_rows(path: Path, enough: Callable[[int, int], bool]) -> None:
    """Write pairs of about 1,000 bytes until `enough(rows, bytes)`; the same ones each time."""
    draw = random.Random(11)
    letters = "abcdefghijklmnoprstuvw"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    sentences = [
        " ".join(draw.choices(words, weights, k=draw.randint(6, 20))).capitalize() + "."
        for _ in range(SENTENCES)
    ]

    def text(n: int) -> str:
        return " ".join(draw.choices(sentences, k=n))

    rows = size_bytes = 0
    with path.open("wb") as file:
        while not enough(rows, size_bytes):
            value = {
                "prompt": f"{text(2)} {rows}?",
                "chosen": text(draw.randint(1, 7)),
                "rejected": text(draw.randint(1, 6)),
                "source": "bench",
            }
            size_bytes += file.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
            rows += 1


def made(name: str, write: Callable[[Path], None]) -> Path:
    """The path of a file of the bench; it is made once per checkout."""
    path = FOLDER / name
    with made_by_one(path):
        if not path.exists():
            partial = path.with_suffix(".part")
            write(partial)
            partial.replace(path)
    return path


def core_before() -> Path:
    """A folder with the core of the commit that today's is compared with."""
    folder = FOLDER / BEFORE
    with made_by_one(folder):
        if not folder.exists():
            folder.mkdir(parents=True)
            archive = subprocess.run(
                ["git", "archive", BEFORE, "orpo"], cwd=ROOT, check=True, capture_output=True
            )
            subprocess.run(["tar", "-x"], cwd=folder, check=True, input=archive.stdout)
    return folder


def written() -> dict[str, str]:
    """Paths that the verbs write to."""
    return {name: str(FOLDER / f"out.{name}") for name in ("rows", "offsets", "scores", "found")}


def validate(source: Path, *, watched: bool = False) -> Run:
    """Today's validation."""
    out = written()
    return timed([
        sys.executable, "-m", "orpo.validate", str(source), source.name,
        out["rows"], out["offsets"], out["scores"],
    ], watched=watched)  # fmt: skip


def audit(n_rows: int, *options: str, watched: bool = False) -> Run:
    """The audit of what `validate` has written."""
    command = [sys.executable, "-m", "orpo.audit", *written().values(), str(n_rows), *options]
    return timed(command, watched=watched)


def with_exact_findings(source: Path) -> list[Run]:
    """Today's validation, and all exact findings."""
    judged = validate(source)
    rows = json.loads(judged.printed.splitlines()[-1])["rows"]
    return [judged, audit(rows, "--exact")]


def compare(source: Path, rounds: int) -> dict[str, dict[str, float]]:
    """The medians in MB/s of elapsed time and in processor seconds, each in turn.

    On a machine that other work uses, the processor seconds say more.
    """
    old, before = core_before(), FOLDER / "before.rows"
    ways: dict[str, Callable[[], list[Run]]] = {
        "today, all exact findings": lambda: with_exact_findings(source),
        "today, validation alone": lambda: [validate(source)],
        f"validation of {BEFORE}": lambda: [
            timed([sys.executable, "-c", BEFORE_RUN, str(source), str(before)], old)
        ],
        "orjson.loads": lambda: [timed([sys.executable, "-c", LOOP, str(source)])],
    }
    runs: dict[str, list[list[Run]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            runs[name].append(run())
    size_mb = source.stat().st_size / 1e6
    return {name: _medians(size_mb, of) for name, of in runs.items()}


def _medians(size_mb: float, rounds: list[list[Run]]) -> dict[str, float]:
    seconds = [sum(run.seconds for run in runs) for runs in rounds]
    processor_s = [sum(run.processor_s for run in runs) for runs in rounds]
    return {
        "mb_per_s": round(size_mb / statistics.median(seconds)),
        "processor_s": round(statistics.median(processor_s), 2),
    }


def to_parquet(source: Path, path: Path) -> None:
    """Write the same rows as Parquet."""
    from pyarrow import json as arrow_json  # noqa: PLC0415 - slow to import
    from pyarrow import parquet  # noqa: PLC0415

    parquet.write_table(arrow_json.read_json(source), path)


def parquet_speed(source: Path) -> dict[str, float]:
    """The same of these rows as Parquet, with all exact findings; MB are those of the JSONL."""
    path = made("pairs-256mb.parquet", lambda path: to_parquet(source, path))
    return _medians(source.stat().st_size / 1e6, [with_exact_findings(path)])


def applied(recipe: list[dict[str, Any]]) -> Run:
    """What a version of the audited rows takes."""
    out, request = written(), FOLDER / "request.json"
    source = {"file_id": "file-bench", "rows": out["rows"], "found": out["found"]}
    request.write_text(
        json.dumps({"recipe": recipe, "sources": [source], "max_bytes": MOST_VERSION_BYTES})
    )
    version, progress = str(FOLDER / "out.version"), str(FOLDER / "out.progress")
    command = [sys.executable, "-m", "orpo.make", str(request), version, progress]
    return timed(command, watched=True)


def point(n_pairs: int) -> dict[str, float]:
    """What the validation, the whole audit and a recipe of `n_pairs` take."""
    source = made(
        f"pairs-{n_pairs}.jsonl", lambda path: write_rows(path, lambda rows, _: rows >= n_pairs)
    )
    judged, audited = validate(source, watched=True), audit(n_pairs, watched=True)
    recipe = applied(RECIPE)
    return {
        "pairs": n_pairs,
        "size_mb": round(source.stat().st_size / 1e6),
        "validate_s": round(judged.seconds, 1),
        "validate_peak_mb": round(judged.peak_mb),
        "audit_s": round(audited.seconds, 1),
        "audit_peak_mb": round(audited.peak_mb),
        "recipe_s": round(recipe.seconds, 1),
        "recipe_peak_mb": round(recipe.peak_mb),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--most", type=int, default=POINTS[-1], help="pairs of the last point")
    given = arguments.parse_args()
    source = made(
        "pairs-256mb.jsonl", lambda path: write_rows(path, lambda _, size: size >= SIZE_BYTES)
    )
    print(machine())
    print(json.dumps({"lines": compare(source, given.rounds)}))
    print(json.dumps({"parquet": parquet_speed(source)}))
    for n_pairs in POINTS:
        if n_pairs <= given.most:
            print(json.dumps(point(n_pairs)), flush=True)


if __name__ == "__main__":
    main()
