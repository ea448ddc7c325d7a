"""Writes the page: each figure with what the paper found, what we found, and where the two differ.

Every sentence about our runs is chosen by their numbers, so it can't be more positive than they
are.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evals import statistics, verdicts
from evals.statistics import Estimate
from examples.paper import figures, runs
from orpo.contract.numbers import Series

PAGE = Path(__file__).parent / "README.md"
# arXiv 2403.07691v2, Tables 2 and 3: win rates of ORPO in percent, for OPT 125M, 350M and 1.3B.
PAPER = {
    "supervised": ("84.0, 82.7, 78.0", "73.2, 80.5, 69.4"),
    "dpo": ("41.7, 49.4, 70.9", "48.8, 50.5, 57.8"),
    "ppo": ("66.1, 79.4, 65.9", "71.4, 85.8, 65.7"),
}
# Nats a token. Runs of one method with other seeds end up to 0.1 apart.
CLEAR = 0.3
EVEN = 0.5
OPENING = """\
# The paper's results, repeated at small scale

What `make paper` makes of *ORPO: Monolithic Preference Optimization without Reference Model*
(arXiv 2403.07691v2) on two CPU cores: SmolLM2-135M-Instruct instead of OPT and Mistral, the 172
pairs of `examples/short-answers.jsonl` instead of HH-RLHF and UltraFeedback, 44 held-out pairs.
The trends can be compared with the paper's, the numbers can't. This page is written from the
numbers in `results/`; `make paper DRAW=1` draws it again, and `make paper` repeats what is missing
there.
"""
UNDER_THE_TABLE = """\
Ours: every answer of ORPO against every answer of the other model to the same prompt; the seeds \
are those of the other method, of ORPO there are {seeds}. 95 % interval over the 44 prompts. The \
paper's: OPT 125M, 350M and 1.3B. Our judge is a reward \
model of 135M parameters that was trained on the same 172 pairs: it knows the style of these \
pairs, not quality.
"""
CLOSING = """\
## Not drawn here

Figures 10 and 12 (MT-Bench by lambda and by category) need a strong judge. Where one is
configured, evaluate each model with the suite `mt_bench` (see
[docs/evaluations.md](../../docs/evaluations.md)) and compare them on the page Evaluations.
"""


def write() -> None:
    """Write the page from what is drawn and kept."""
    parts = [OPENING, *_figures(), *_tables(), CLOSING]
    PAGE.write_text("\n".join(parts))


def _figures() -> Iterator[str]:
    shown = (
        ("figure-3-supervised", "Figure 3: supervised fine-tuning raises both answers", _figure_3),
        ("figure-7-orpo", "Figure 7: ORPO separates them", _figure_7),
        ("figure-8-ratios", "Figure 8: probability ratio against odds ratio", _figure_8),
        ("figure-9-lambda", "Figure 9: the weight lambda", _figure_9),
        ("figure-6-geometry", "Figure 6: why the odds ratio", _figure_6),
        ("figure-5-rewards", "Figure 5: rewards of the answers", _figure_5),
    )
    for name, title, text in shown:
        if (figures.FIGURES / f"{name}.svg").exists() and (said := text()):
            yield f"## {title}\n\n![{title}](figures/{name}.svg)\n\n{said}\n"


def _figure_3() -> str:
    found = figures.by_seed("supervised")
    if not found:
        return ""
    chosen, rejected = _rise(found, Series.LOGPS_CHOSEN), _rise(found, Series.LOGPS_REJECTED)
    both = all(value > 0 for value in rejected)
    ours = (
        f"Ours: chosen {_signed(chosen)}, rejected {_signed(rejected)} a token over the run "
        f"({_seeds(found)})."
    )
    return _paper(
        "trained on chosen answers only, OPT-350M assigns ever higher log-probs to rejected "
        "answers too.",
        ours,
        both,
        "The same: rejected answers rise with the chosen ones.",
        "Ours differs: rejected answers do not rise in every run. In our pairs the two sides have "
        "different styles; in HH-RLHF they resemble each other, so that learning one teaches the "
        "other.",
    )


def _figure_7() -> str:
    found = figures.by_seed("orpo")
    if not found:
        return ""
    odds = _rise(found, Series.LOG_ODDS_RATIO)
    chosen = _rise(found, Series.LOGPS_CHOSEN)
    ours = (
        f"Ours (lambda {runs.LAMBDA}): log odds ratio {_signed(odds)}, chosen {_signed(chosen)} a "
        f"token ({_seeds(found)})."
    )
    return _paper(
        "the log-probs of chosen answers stay near those of supervised fine-tuning, those of "
        "rejected answers fall, and the log odds ratio rises through the run.",
        ours,
        all(value > 0 for value in (*odds, *chosen)),
        "The same: the odds ratio rises in every run while chosen answers become more likely.",
        "Ours differs: not every run has raised both the odds ratio and the chosen answers.",
    )


def _figure_8() -> str:
    ratio, odds = runs.read("probability-ratio"), runs.read("lambda-1.0")
    if ratio is None or odds is None:
        return ""
    (left,), (right,) = (_end([run], Series.LOGPS_REJECTED) for run in (ratio, odds))
    same = "The same order."
    if right - left < CLEAR:
        same = (
            "The order is the paper's, but the difference is small: one short run with one seed "
            "can't tell it from chance."
        )
    return _paper(
        "with the probability ratio, rejected answers are pushed to extremely low log-probs; with "
        "the odds ratio they fall less.",
        f"Ours (lambda 1, one seed): rejected answers end at {left:+.2f} a token with the "
        f"probability ratio and at {right:+.2f} with the odds ratio.",
        left < right,
        same,
        "Ours differs: the probability ratio did not push rejected answers lower. One short run "
        "with one seed can't say more.",
    )


def _figure_9() -> str:
    found = [runs.read(f"lambda-{value}") for value in runs.LAMBDAS]
    kept = [run for run in found if run is not None]
    if len(kept) < len(found):
        return ""
    gaps = [_end([run], Series.LOG_ODDS_RATIO)[0] for run in kept]
    listed = ", ".join(
        f"{gap:+.2f} at lambda {value}" for value, gap in zip(runs.LAMBDAS, gaps, strict=True)
    )
    return _paper(
        "a larger lambda separates chosen and rejected answers more strongly.",
        f"Ours (one seed): the held-out log odds ratio ends at {listed}.",
        gaps == sorted(gaps),
        "The same order.",
        "Ours differs: the order is not that of lambda.",
    )


def _figure_6() -> str:
    return (
        "Paper and here: for the same pair of probabilities, drawn uniformly, the log odds ratio "
        "has the wider distribution. Its logistic loss is therefore satisfied with a smaller "
        "change of the probabilities. This figure is mathematics; there is nothing to train.\n"
    )


def _figure_5() -> str:
    means = {
        label: figures.all_rewards(method)
        for method, (label, _) in figures.METHODS.items()
        if figures.all_rewards(method)
    }
    listed = ", ".join(f"{label} {np.mean(values):+.2f}" for label, values in means.items())
    orpo, supervised = (np.mean(means[name]) for name in ("ORPO", "supervised"))
    best = max(means, key=lambda label: float(np.mean(means[label])))
    return _paper(
        "ORPO's rewards lie above those of supervised fine-tuning; PPO spreads and DPO comes "
        "close.",
        f"Ours, mean rewards: {listed}. The highest is {best}.",
        bool(orpo > supervised),
        "The same: ORPO lies above supervised fine-tuning.",
        "Ours differs: ORPO does not lie above supervised fine-tuning here.",
    )


def _tables() -> Iterator[str]:
    rates = {method: rate for method in PAPER if (rate := win_rate(method))}
    rows = [
        f"| {figures.METHODS[method][0]} | {len(figures.answers_of(method))} | {_share(rate)} | "
        + " | ".join(PAPER[method])
        + " |"
        for method, rate in rates.items()
    ]
    if not rows:
        return
    yield "\n".join(
        [
            "## Tables 2 and 3: how often a reward model prefers ORPO's answer\n",
            "| ORPO against | seeds | ours, % | paper, HH-RLHF, % | paper, UltraFeedback, % |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            UNDER_THE_TABLE.format(seeds=len(figures.answers_of("orpo"))),
            *_differences(rates),
        ]
    )


def _differences(rates: Mapping[str, Estimate]) -> Iterator[str]:
    """A sentence on the methods that ORPO loses against, if there are any."""
    lost = [
        figures.METHODS[method][0] for method, rate in rates.items() if (rate.high or 1.0) < EVEN
    ]
    if lost:
        yield (
            f"Ours differs: ORPO loses against {' and '.join(lost)}, the whole interval is below "
            "50 %. In the paper it wins against PPO at each size, and against DPO at the largest. "
            "DPO and PPO begin here with a supervised model, so that they have seen the pairs "
            "twice and ORPO once, which may be why.\n"
        )


def win_rate(method: str) -> Estimate | None:
    """How often ORPO's answer has the higher reward than that of `method`; a tie is a half."""
    ours, theirs = figures.answers_of("orpo"), figures.answers_of(method)
    if not ours or not theirs:
        return None
    mine, other = _by_prompt(ours), _by_prompt(theirs)
    outcomes = {
        prompt: [verdicts.of_numbers(a, b) for a in values for b in other[prompt]]
        for prompt, values in mine.items()
    }
    return statistics.win_rate(outcomes)


def _by_prompt(found: list[dict[str, Any]]) -> dict[str, list[float]]:
    rewards: dict[str, list[float]] = {}
    for run in found:
        for row in run["answers"]:
            rewards.setdefault(row["prompt"], []).extend(row["rewards"])
    return rewards


def _share(rate: Estimate) -> str:
    low, high = (100 * (rate.value if end is None else end) for end in (rate.low, rate.high))
    return f"{100 * rate.value:.1f} ({low:.1f} to {high:.1f})"


def _rise(found: list[dict[str, Any]], name: str) -> list[float]:
    """By how much a held-out series has changed in each run."""
    starts = [run["held_out"][min(run["held_out"], key=int)][name] for run in found]
    return [end - start for end, start in zip(_end(found, name), starts, strict=True)]


def _end(found: list[dict[str, Any]], name: str) -> list[float]:
    return [run["held_out"][max(run["held_out"], key=int)][name] for run in found]


def _signed(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:+.2f}"
    return f"{np.mean(values):+.2f} ({min(values):+.2f} to {max(values):+.2f})"


def _seeds(found: list[dict[str, Any]]) -> str:
    return f"{len(found)} seeds" if len(found) > 1 else "one seed"


def _paper(paper: str, ours: str, holds: bool, same: str, differs: str) -> str:
    return f"Paper: {paper}\n\n{ours} {same if holds else differs}\n"
