"""Draws the figures from the kept numbers. Each function returns None where a run is missing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evals.rewards import BINS
from examples.paper import runs
from orpo.contract.numbers import Series

FIGURES = Path(__file__).parent / "figures"
# The colours of the page's curves (web/src).
CHOSEN, REJECTED, ODDS = "#0072B2", "#B84A00", "#007A5A"
METHODS = {
    runs.BASE: ("base model", "#8C6D00"),
    "supervised": ("supervised", "#585E66"),
    "dpo": ("DPO", "#8A5A9E"),
    "ppo": ("PPO", "#B84A00"),
    "orpo": ("ORPO", "#0072B2"),
}
# The same numbers give the same file, byte for byte.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "oddsmith", "svg.fonttype": "none", "font.family": "sans-serif",
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#DFE1E5", "grid.linewidth": 0.6, "lines.linewidth": 1.8, "legend.frameon": False,
    "figure.facecolor": "white",
}  # fmt: skip
PAIRS_DRAWN = 50_000


def draw_all() -> list[str]:
    """Draw every figure whose runs are there; return their names."""
    FIGURES.mkdir(exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        for name, make in DRAWINGS.items():
            figure = make()
            if figure is not None:
                path = FIGURES / f"{name}.svg"
                figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
                plt.close(figure)
                drawn.append(name)
    return drawn


def supervised() -> Figure | None:
    """Figure 3: fine-tuning on chosen answers raises the rejected ones too."""
    return _curves("supervised")


def orpo() -> Figure | None:
    """Figure 7: ORPO raises the chosen answers, and the log odds ratio with them."""
    return _curves("orpo")


def _curves(method: str) -> Figure | None:
    found = by_seed(method)
    if not found:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained")
    band(left, found, Series.LOGPS_CHOSEN, CHOSEN, "chosen")
    band(left, found, Series.LOGPS_REJECTED, REJECTED, "rejected", "--")
    band(right, found, Series.LOG_ODDS_RATIO, ODDS, "log odds ratio")
    _label(left, "log-prob a token (held-out pairs)")
    _label(right, "log odds ratio (held-out pairs)")
    left.legend()
    return figure


def ratios() -> Figure | None:
    """Figure 8: the probability ratio against the odds ratio, with the same weight."""
    sides = {"probability ratio": "probability-ratio", "odds ratio": "lambda-1.0"}
    return _panels({title: runs.read(name) for title, name in sides.items()})


def lambdas() -> Figure | None:
    """Figure 9: a larger weight parts the two further."""
    return _panels({f"lambda = {value}": runs.read(f"lambda-{value}") for value in runs.LAMBDAS})


def _panels(found: dict[str, dict[str, Any] | None]) -> Figure | None:
    if None in found.values():
        return None
    figure, axes = plt.subplots(
        1, len(found), figsize=(4.2 * len(found), 3.2), sharey=True, layout="constrained"
    )
    for axis, (title, run) in zip(axes, found.items(), strict=True):
        assert run is not None
        band(axis, [run], Series.LOGPS_CHOSEN, CHOSEN, "chosen")
        band(axis, [run], Series.LOGPS_REJECTED, REJECTED, "rejected", "--")
        axis.set_title(title, fontsize=10)
        _label(axis, "log-prob a token" if axis is axes[0] else "")
    axes[0].legend()
    return figure


def geometry() -> Figure:
    """Figure 6: log odds ratios spread wider than log probability ratios of the same pairs.

    Both probabilities of a pair are drawn uniformly from (0, 1).
    """
    one, two = np.random.default_rng(0).uniform(size=(2, PAIRS_DRAWN))
    ratio = np.log(one) - np.log(two)
    odds = ratio - (np.log1p(-one) - np.log1p(-two))
    figure, axis = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
    edges = np.linspace(-10, 10, 81).tolist()
    for values, colour, label in (
        (ratio, REJECTED, "log probability ratio"), (odds, CHOSEN, "log odds ratio"),
    ):  # fmt: skip
        axis.hist(values, edges, density=True, histtype="step", color=colour, label=label, lw=1.8)
    axis.set_xlabel("value")
    axis.set_ylabel("density")
    axis.legend()
    return figure


def rewards() -> Figure | None:
    """Figure 5: the rewards of each method's answers to the held-out prompts."""
    found = {method: all_rewards(method) for method in METHODS}
    found = {method: values for method, values in found.items() if values}
    if len(found) < 2:
        return None
    edges = np.histogram_bin_edges(np.concatenate(list(found.values())), BINS).tolist()
    figure, axis = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    for method, values in found.items():
        label, colour = METHODS[method]
        shared: dict[str, Any] = {"bins": edges, "density": True, "color": colour}
        axis.hist(values, histtype="stepfilled", alpha=0.25, label=label, **shared)
        axis.hist(values, histtype="step", lw=1.6, **shared)
    axis.set_xlabel("reward (of a reward model that no run was optimised for)")
    axis.set_ylabel("density")
    axis.legend()
    return figure


def band(
    axis: Axes,
    found: Sequence[dict[str, Any]],
    name: str,
    colour: str,
    label: str,
    style: str = "-",
) -> None:
    """A series by step: the mean over seeds, and from the lowest to the highest of them."""
    steps = sorted(int(step) for step in found[0]["held_out"])
    values = np.array([[run["held_out"][str(step)][name] for step in steps] for run in found])
    axis.plot(steps, values.mean(0), style, color=colour, label=label)
    if len(found) > 1:
        axis.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)


def _label(axis: Axes, vertical: str) -> None:
    axis.set_xlabel("step")
    axis.set_ylabel(vertical)


def by_seed(method: str) -> list[dict[str, Any]]:
    """The kept runs of a method, one for each seed that has run."""
    found = (runs.read(f"{method}-{seed}") for seed in runs.SEEDS)
    return [run for run in found if run is not None]


def answers_of(method: str) -> list[dict[str, Any]]:
    """The kept answers of a method, one set for each seed; of the base model, one."""
    names = [method] if method == runs.BASE else [f"{method}-{seed}" for seed in runs.SEEDS]
    found = (runs.read(runs.answers_of(name)) for name in names)
    return [run for run in found if run is not None]


def all_rewards(method: str) -> list[float]:
    """Every reward of a method's answers, over prompts, samples and seeds."""
    return [
        value for run in answers_of(method) for row in run["answers"] for value in row["rewards"]
    ]


DRAWINGS: dict[str, Callable[[], Figure | None]] = {
    "figure-3-supervised": supervised,
    "figure-5-rewards": rewards,
    "figure-6-geometry": geometry,
    "figure-7-orpo": orpo,
    "figure-8-ratios": ratios,
    "figure-9-lambda": lambdas,
}
