"""The untrained policy's log-probs of each answer, for the methods that compare with them.

Measured before the first step and before a checkpoint is loaded: the policy then still equals its
base, whatever is tuned (a new adapter adds nothing). Kept beside the tokens, for resumed runs.

Shapes: E examples, S = 2B sequences of a batch.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import torch
from numpy.typing import NDArray

from orpo.contract.methods import Method
from orpo.contract.spec import RunSpec
from orpo.loss.loss import sum_logps
from orpo.model.policy import Policy, token_logps
from orpo.process.parallel import Single
from orpo.process.stopping import Stopping
from orpo.tokens.data import Data, Part
from orpo.tokens.examples import Examples
from orpo.tokens.pack import Batch
from orpo.tokens.work import deal, token_budget

AT_A_TIME = 4096  # pairs that are dealt to ranks and packed


def measure(
    policy: Policy, data: Data, spec: RunSpec, parallel: Single, stopping: Stopping
) -> Data:
    """The data with both answers' summed log-probs under `policy`; ranks share the work.

    If an equal run has measured them, they are read: the same bits. If asked to stop, some are
    zeros; such a run ends before its next step.
    """
    key = _key(spec, parallel)

    def measured(part: Part) -> Part:
        path = part.folder / f"reference-{key}.npy"
        sums_E2 = _read(path, len(part.examples))
        # If one rank lacks the file, all ranks measure: alone, it would wait for the others' share.
        if parallel.any(sums_E2 is None) or sums_E2 is None:
            sums_E2 = _measured(policy, part.examples, spec.method, parallel, stopping)
            if not parallel.any(stopping.requested) and parallel.leads:
                _write(path, sums_E2)
        return replace(part, examples=part.examples.with_references(sums_E2))

    return data.map(measured)


@torch.no_grad()
def _measured(
    policy: Policy, examples: Examples, method: Method, parallel: Single, stopping: Stopping
) -> NDArray[np.float64]:
    sums_E2 = torch.zeros(len(examples), 2, dtype=torch.float64)
    for places, batch in _batches(examples, method, parallel):
        if stopping.requested:
            break
        logps_S = sum_logps(token_logps(policy, batch, method.precision), batch)
        if batch.has_rejected:
            sums_E2[places] = logps_S.view(-1, 2).cpu()
    return parallel.sum(sums_E2).numpy()


def _batches(
    examples: Examples, method: Method, parallel: Single
) -> Iterator[tuple[list[int], Batch]]:
    """This rank's batches, with the places of their pairs; only a few are in memory at a time."""
    for start in range(0, len(examples), AT_A_TIME):
        some = examples[start : start + AT_A_TIME]
        for work in deal(some, method, parallel, rejected=True):
            yield [start + place for place in work.places], work.batch.to(parallel.device)


def _key(spec: RunSpec, parallel: Single) -> str:
    """A hash of everything but the tokens that decides the bits: the base, the settings, the
    device.
    """
    method = spec.method.model_dump(
        mode="json",
        include={"precision", "tuning", "use_dora", "modules_to_save", "prefix_sharing"},
    )
    base = [
        [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(spec.base_model_path.iterdir())
    ]
    device = parallel.device
    where = [
        torch.cuda.get_device_name(device) if device.type == "cuda" else torch.get_num_threads(),
        parallel.world,
        token_budget(spec.method, parallel),
        torch.__version__,
    ]
    return hashlib.sha256(json.dumps([method, base, where]).encode()).hexdigest()[:16]


def _read(path: Path, n_examples: int) -> NDArray[np.float64] | None:
    """The kept sums, memory-mapped; None if the file is missing or does not fit."""
    try:
        sums_E2 = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return sums_E2 if sums_E2.shape == (n_examples, 2) else None


def _write(path: Path, sums_E2: NDArray[np.float64]) -> None:
    with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        np.save(file, sums_E2)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
