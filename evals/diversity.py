"""How alike a model's answers are, by cosine similarity of embeddings (paper, Table 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals import statistics
from evals.statistics import Estimate


@dataclass(frozen=True)
class Diversity:
    """Mean cosine similarity; higher is less diverse. `per_input`: of samples of one prompt;
    `across_input`: of the first samples of different prompts.
    """

    per_input: Estimate | None
    across_input: Estimate | None


def similarity(embeddings: Mapping[Any, NDArray[np.float32]], seed: int = 0) -> Diversity:
    """Return the similarities of samples, as vectors [samples, width] for each prompt.

    Across prompts, each prompt's value is its mean similarity to all others, so that a prompt is
    drawn as a whole. Raises ValueError for a vector of length 0.
    """
    unit = {prompt: _unit(vectors) for prompt, vectors in embeddings.items() if len(vectors)}
    within = {prompt: [_mean_pair(vectors)] for prompt, vectors in unit.items() if len(vectors) > 1}
    across: dict[Any, list[float]] = {}
    if len(unit) > 1:
        firsts = np.stack([vectors[0] for vectors in unit.values()])
        total = firsts.sum(axis=0)
        means = (firsts @ total - 1) / (len(firsts) - 1)
        across = {prompt: [float(mean)] for prompt, mean in zip(unit, means, strict=True)}
    return Diversity(statistics.mean(within, seed), statistics.mean(across, seed))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise ValueError("An embedding has length 0.")
    return wide / lengths


def _mean_pair(vectors: NDArray[np.float64]) -> float:
    """Return the mean cosine of all pairs, from the length of the vectors' sum."""
    n = len(vectors)
    total = vectors.sum(axis=0)
    return float((total @ total - n) / (n * (n - 1)))
