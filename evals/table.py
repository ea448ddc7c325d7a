"""The table of scores: each metric of the model, of the baseline, and their paired difference, over
all prompts and by category.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals import statistics
from evals.statistics import Estimate

MOST_CATEGORIES = 50

Values = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Measured:
    """The values of a prompt by metric, of the model and of the baseline. A side without an answer
    has none.
    """

    category: str | None = None
    model: Values = field(default_factory=dict)
    baseline: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """A metric of all prompts, or of one category. `difference` is the model's minus the
    baseline's, over the prompts that both have.
    """

    metric: str
    category: str | None
    model: Estimate | None
    baseline: Estimate | None
    difference: Estimate | None


def overall(
    prompts: Mapping[Any, Measured], metrics: Iterable[str], seed: int = 0, name: str | None = None
) -> list[Score]:
    """Return a score for each metric over all prompts; `name` is the category that they are."""
    return [_score(prompts, metric, name, seed) for metric in metrics]


def categories(prompts: Mapping[Any, Measured]) -> dict[str, dict[Any, Measured]]:
    """Return the prompts of each category, by the categories' names; none if there is only one
    category. Of more than 50, the largest are kept.
    """
    sizes = Counter(prompt.category for prompt in prompts.values() if prompt.category is not None)
    if len(sizes) < 2:
        return {}
    kept = sorted(name for name, _ in sizes.most_common(MOST_CATEGORIES))
    members: dict[str, dict[Any, Measured]] = {name: {} for name in kept}
    for key, prompt in prompts.items():
        if prompt.category in members:
            members[prompt.category][key] = prompt
    return members


def by_category(
    prompts: Mapping[Any, Measured], metrics: Sequence[str], seed: int = 0
) -> list[Score]:
    """Return a score for each metric and category, as `categories` divides the prompts."""
    return [
        score
        for name, of_category in categories(prompts).items()
        for score in overall(of_category, metrics, seed, name)
    ]


def _score(prompts: Mapping[Any, Measured], metric: str, category: str | None, seed: int) -> Score:
    ours, theirs = (
        {key: values for key, values in side if values}
        for side in (
            ((key, prompt.model.get(metric, ())) for key, prompt in prompts.items()),
            ((key, prompt.baseline.get(metric, ())) for key, prompt in prompts.items()),
        )
    )
    return Score(
        metric,
        category,
        statistics.mean(ours, seed),
        statistics.mean(theirs, seed),
        statistics.difference(ours, theirs, seed),
    )
