"""Results of the training benchmark: figures, a table, and the missed floors.

Works on figures only; runs nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Floor:
    """Limits against the tuned peer: the least ratio of pairs per second, the largest share of its
    peak memory, and on a GPU the least MFU (useful FLOP/s over the device's stated peak).
    """

    ratio: float
    memory: float
    mfu: float = 0.0


# How far two losses may differ on the first step, in nats. bf16 causes 0.01; an objective without
# its preference term would differ by 0.07.
SAME_LOSS = 0.03
ON_A_GPU = Floor(2.0, 0.60, 0.40)
FLOORS = {
    "full": Floor(3.0, 0.50),
    "lora": Floor(3.2, 0.35),
    "llama-1b full": ON_A_GPU,
    "llama-8b lora": ON_A_GPU,
}

NO_FLOOR = Floor(0, float("inf"))

# Figures by row and engine; a row without engines was not measured.
Found = dict[str, dict[str, dict[str, Any]]]


def spread(values: Iterable[float]) -> dict[str, float]:
    values = sorted(values)
    return {"median": median(values), "min": values[0], "max": values[-1]}


def summary(
    rounds: list[dict[str, Any]], engines: list[str], pairs: int, peak_flops: float | None
) -> dict[str, dict[str, Any]]:
    """The summary of one row's rounds, by engine."""
    found: dict[str, Any] = {}
    for engine in engines:
        took_part = [each for each in rounds if engine in each]
        results = [each[engine] for each in took_part]
        seconds = [sum(result["seconds"]) for result in results]
        found[engine] = {
            "seconds": spread(seconds),
            "pairs_per_s": pairs / median(seconds),
            "peak_gb": median(result["peak_bytes"] for result in results) / 1e9,
        }
        if engine != "ours":
            ours = [each["ours"] for each in took_part]
            found[engine]["ratio"] = spread(
                theirs / sum(mine["seconds"]) for theirs, mine in zip(seconds, ours, strict=True)
            )
            found[engine]["memory"] = median(
                mine["peak_bytes"] / theirs["peak_bytes"]
                for theirs, mine in zip(results, ours, strict=True)
            )
            differences = [
                [abs(a - b) for a, b in zip(theirs["loss"], mine["loss"], strict=True)]
                for theirs, mine in zip(results, ours, strict=True)
            ]
            found[engine]["loss_differs_by"] = max(map(max, differences))
            found[engine]["first_loss_differs_by"] = max(each[0] for each in differences)
    found["ours"] |= _useful(rounds, found["ours"]["seconds"]["median"], peak_flops)
    return found


def _useful(
    rounds: list[dict[str, Any]], seconds: float, peak_flops: float | None
) -> dict[str, float]:
    """Useful tokens and FLOP per second, and their share of the device's speed."""
    ours = rounds[0]["ours"]
    flop = (4 * ours["parameters"] + 2 * ours["trained"]) * ours["tokens"]
    rate = median(each["gemm_flops"] for each in rounds)
    found = {
        "useful_tokens": ours["tokens"],
        "useful_tokens_per_s": ours["tokens"] / seconds,
        "share_of_gemm": flop / seconds / rate,
        "gemm_gflops": rate / 1e9,
    }
    if peak_flops is None:
        return found
    return found | {"mfu": flop / seconds / peak_flops, "peak_tflops": peak_flops / 1e12}


def table(found: Found) -> str:
    """A Markdown table: one line per engine and tuning."""
    lines = [
        "| tuning | engine | seconds (min to max) | pairs/s | peak GB | faster | memory | losses |",
        "|" + " --- |" * 8,
    ]
    for name, engines in found.items():
        if not engines:
            lines.append(f"| {name} | not measured: no GPU here | | | | | | |")
        for engine, of in engines.items():
            s = of["seconds"]
            lines.append(
                f"| {name} | {engine} | {s['median']:.1f} ({s['min']:.1f} to {s['max']:.1f}) | "
                f"{of['pairs_per_s']:.2f} | {of['peak_gb']:.1f} | {_against(of)} |"
            )
    return "\n".join(lines)


def _against(of: dict[str, Any]) -> str:
    """The last three columns: a peer against ours, or ours against the device."""
    if ratio := of.get("ratio"):
        return (
            f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) | {of['memory']:.0%}"
            f" | {of['loss_differs_by']:.3f}"
        )
    useful = f"{of['useful_tokens_per_s']:.0f} useful tokens/s"
    if "mfu" in of:
        return f"{useful} | MFU {of['mfu']:.0%} of {of['peak_tflops']:.0f} TFLOP/s |"
    return f"{useful} | {of['share_of_gemm']:.0%} of {of['gemm_gflops']:.0f} GFLOP/s |"


def missed(found: Found, floors: dict[str, Floor] = FLOORS) -> list[str]:
    """The missed floors; a row that was not measured or has no floor misses none."""
    wrong = []
    for name, engines in found.items():
        floor = floors.get(name, NO_FLOOR)
        tuned, mfu = engines.get("trl-tuned"), engines.get("ours", {}).get("mfu")
        if tuned and tuned["ratio"]["median"] < floor.ratio:
            wrong.append(f"{name}: {tuned['ratio']['median']:.2f}x is below {floor.ratio}x")
        if tuned and tuned["memory"] > floor.memory:
            wrong.append(f"{name}: {tuned['memory']:.0%} of its memory, above {floor.memory:.0%}")
        if tuned and tuned["first_loss_differs_by"] > SAME_LOSS:
            wrong.append(
                f"{name}: the first losses differ by {tuned['first_loss_differs_by']:.2f}: the two "
                "do not train the same"
            )
        if mfu is not None and mfu < floor.mfu:
            wrong.append(f"{name}: an MFU of {mfu:.0%} is below {floor.mfu:.0%}")
    return wrong
