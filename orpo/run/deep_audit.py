"""`python -m orpo.deep_audit RUN_DIR`: which pairs of a file probably have the wrong choice.

Measures the base's own log odds of each choice. Then, in rounds, adapters that are trained on one
part of the pairs judge the other part (`cross_fit`), and `orpo.audit.judge` weighs their opinions
with what the texts alone say. Each measured part is written once it is done, so that a killed run
loses at most one. Keeps no model.

Shapes: E pairs, R rounds.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from orpo.audit import found, judge
from orpo.audit.judge import Judged, Signals
from orpo.contract.deep_audit import FINDINGS, N_PARTS, ROUNDS, Opinion
from orpo.contract.failures import STOPPED, Code, Failure
from orpo.contract.numbers import Series
from orpo.contract.rundir import (
    DEEP_AUDIT,
    DEEP_AUDIT_FOUND,
    DEEP_AUDIT_PAIRS,
    PARTS,
    Event,
    Split,
)
from orpo.contract.spec import RunSpec
from orpo.loss.loss import log_odds_ratio
from orpo.model import policy
from orpo.process.deterministic import make_deterministic
from orpo.process.parallel import Single
from orpo.process.stopping import Stopping
from orpo.rows.formats import Pair
from orpo.run import train
from orpo.run.cross_fit import CrossFit, Stopped
from orpo.run.journal import Journal
from orpo.tokens import data
from orpo.tokens.work import token_budget

FEWEST_PAIRS = 20
BASE = "base"
LINES = 10  # of a finding, which a report names

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Parts:
    """Measured parts on disk. A part is used only if it was made from the same data and settings
    (`fingerprint`).
    """

    folder: Path
    fingerprint: str

    def take_over(self, earlier: Path) -> None:
        """Copy the parts of an earlier run, which this one resumes."""
        for path in sorted(earlier.glob("*.npz")):
            if (part := self._load(path)) is not None:
                self.write(path.stem, part)

    def read(self, name: str) -> Arrays | None:
        """The arrays of a part; None if it was not measured."""
        return self._load(self.folder / f"{name}.npz")

    def write(self, name: str, arrays: Arrays) -> None:
        """Keep a part, complete or not at all."""
        self.folder.mkdir(exist_ok=True)
        known = {**arrays, "fingerprint": np.array(self.fingerprint)}
        with NamedTemporaryFile(dir=self.folder, suffix=".tmp", delete=False) as file:
            np.savez(file, allow_pickle=False, **known)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self.folder / f"{name}.npz")

    def _load(self, path: Path) -> Arrays | None:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                part = dict(arrays)
        except (OSError, ValueError, KeyError, BadZipFile):  # missing, or not complete
            return None
        return part if str(part.pop("fingerprint", "")) == self.fingerprint else None


class Audit:
    """One audit in memory. It raises Stopped wherever it is asked to stop."""

    def __init__(
        self, spec: RunSpec, run_dir: Path, group: Single, journal: Journal, stopping: Stopping
    ) -> None:
        self.spec, self.run_dir, self.group, self.journal = spec, run_dir, group, journal
        make_deterministic(spec.seed, spec.threads, group)
        model, tokenizer = policy.load(spec)
        torch.nn.Module.to(model, group.device)
        self.part = data.load(spec, tokenizer).train
        self.examples = self.part.examples
        self._require_enough()
        self.pairs, self.places_E = self._pairs()
        self.fit = CrossFit(spec, group, model, self.examples, stopping, self._tell)
        self.parts = Parts(run_dir / PARTS, data.fingerprint(spec))
        if spec.resume_from and group.leads:
            self.parts.take_over(spec.resume_from)
        group.barrier()
        prompts = judge.prompts(self.pairs)
        seeds = (f"{spec.seed}/round-{number}" for number in range(ROUNDS))
        self.splits = [judge.split(prompts, N_PARTS, seed) for seed in seeds]
        self.done = 0

    def _require_enough(self) -> None:
        n_pairs = len(self.examples)
        if n_pairs < FEWEST_PAIRS:
            raise Failure(
                Code.BAD_DATA,
                f"The file has {n_pairs} usable pairs, and a deep audit needs {FEWEST_PAIRS}: each "
                "half of them teaches the judge of the other half.",
                "Add pairs, or read the file yourself.",
                "training_file",
            )

    def _pairs(self) -> tuple[list[Pair], NDArray[np.uint32]]:
        """The pairs that have examples, in that order, and their places among the file's rows."""
        at = {line: place for place, line in enumerate(self.examples.rows_E["line"].tolist())}
        known = [(pair, place) for place, pair in enumerate(self.part.rows) if pair.line in at]
        known.sort(key=lambda each: at[each[0].line])
        return [pair for pair, _ in known], np.array([place for _, place in known], np.uint32)

    # --- progress ---------------------------------------------------------------------------------

    @property
    def units(self) -> int:
        """Steps of the whole audit: of the optimizer, of measuring, and the regressions."""
        n_pairs = len(self.pairs)
        folds = [part for split in self.splits for part in split]
        judged = sum(self.fit.units(n_pairs - len(part), len(part)) for part in folds)
        return self.fit.units(0, n_pairs) + judged + judge.REGRESSIONS

    def _tell(self, loss: float | None = None) -> None:
        self.done += 1
        values: dict[str, float] = {Series.EPOCH: self.done / self.units}
        if loss is not None:
            values[Series.LOSS] = loss
        self.journal.metrics(self.done, Split.TRAIN, values)

    def _go_on(self) -> None:
        """Note that a regression is fitted, or stop."""
        self._tell()
        self.fit.heed()

    def _announce(self) -> None:
        start = Event.STARTED if self.spec.resume_from is None else Event.RESUMED
        self.journal.event(
            start,
            f"{start.capitalize()}: {len(self.pairs)} pairs, {ROUNDS * N_PARTS} adapters.",
            steps=self.units,
            first_step=1,
            pairs=len(self.pairs),
            longest=int(self.examples.tokens_E(rejected=True).max()),
            token_budget=token_budget(self.spec.method, self.group),
        )

    # --- the work ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Measure what is missing, judge, and write the result. Returns 0."""
        self._announce()
        means_E2, sums_E2 = self._base()
        base_E = log_odds_ratio(*torch.from_numpy(means_E2).unbind(1)).numpy()
        margins = [self._round(sums_E2, number) for number in range(ROUNDS)]
        signals = Signals(self.pairs, base_E, sums_E2, np.mean(margins, axis=0))
        self._write(judge.judge(signals, self.spec.seed, self._go_on), base_E)
        self.journal.event(Event.FINISHED, "The audit is made.", exit_code=0)
        self.journal.sync()
        return 0

    def _base(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both answers' mean and summed log-probs under the base."""
        part = self.parts.read(BASE)
        if part is None:
            means_E2, sums_E2 = self.fit.base()
            part = {"means": means_E2, "sums": sums_E2}
            self._keep(BASE, part, "Measured the base model.")
        else:
            self.done += self.fit.units(0, len(self.pairs))
        return part["means"], part["sums"]

    def _round(self, sums_E2: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        """Each pair's margin under the adapter that was not trained on it, [E]."""
        gain_E = np.zeros(len(self.pairs))
        for at, judged in enumerate(self.splits[number]):
            name = f"round-{number}-part-{at}"
            others = [each for part in self.splits[number] for each in part if part is not judged]
            part = self.parts.read(name)
            if part is None:
                measured = self.fit.judge(sums_E2, sorted(others), judged)
                part = measured._asdict() | {"places": np.array(judged)}
                told = f"Round {number + 1} of {ROUNDS}: judged part {at + 1} of {N_PARTS}."
                self._keep(name, part, told)
            else:
                self.done += self.fit.units(len(others), len(judged))
            gain_E[judged] = part["gain"]
        return gain_E

    def _keep(self, name: str, arrays: Arrays, message: str) -> None:
        if self.group.leads:
            self.parts.write(name, arrays)
        self.journal.event(Event.EVALUATED, message, step=self.done)

    # --- the result -------------------------------------------------------------------------------

    def _write(self, judged: Judged, base_E: NDArray[np.float64]) -> None:
        """The pairs from the most suspicious on, the rows of the findings, and the summary."""
        named = {str(each): self._places(judged, each) for each in FINDINGS}
        summary = judged.summary() | {
            "lines": {str(each): self._first_lines(judged, each) for each in FINDINGS},
            "pairs": len(self.pairs),
            "base_accuracy": float((base_E > 0).mean()),
            "tokens": int(self.examples.tokens_E(rejected=True).sum()),
        }
        if self.group.leads:
            with (self.run_dir / DEEP_AUDIT_PAIRS).open("w") as file:
                for record in self._records(judged, base_E):
                    file.write(json.dumps(record) + "\n")
            of_code = {code: found.Named(places) for code, places in named.items()}
            found.write(self.run_dir / DEEP_AUDIT_FOUND, of_code)
            (self.run_dir / DEEP_AUDIT).write_text(json.dumps(summary, indent=2) + "\n")
        message = (
            f"{summary[Opinion.LIKELY_SWAPPED]} of {len(self.pairs)} choices are likely swapped."
        )
        self.journal.event(Event.AUDITED, message, **summary)

    def _records(self, judged: Judged, base_E: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
        opinions = judged.opinions()
        for rank, at in enumerate(judged.order(), 1):
            yield {
                "rank": rank,
                "line": self.pairs[at].line,
                "place": int(self.places_E[at]),
                "score": float(judged.wrong_E[at]),
                "base_log_odds": float(base_E[at]),
                "judged_log_odds": float(judged.log_odds_E[at]),
                "opinion": opinions[at],
            }

    def _places(self, judged: Judged, opinion: Opinion) -> NDArray[np.uint32]:
        of_it = [at for at, each in enumerate(judged.opinions()) if each is opinion]
        return np.sort(self.places_E[of_it])

    def _first_lines(self, judged: Judged, opinion: Opinion) -> list[int]:
        named = zip(self.pairs, judged.opinions(), strict=True)
        return sorted(pair.line for pair, each in named if each is opinion)[:LINES]


def audit(spec: RunSpec, run_dir: Path, group: Single, journal: Journal, stopping: Stopping) -> int:
    """Make the audit of a run directory. Returns 0, or 75 if asked to stop."""
    try:
        return Audit(spec, run_dir, group, journal, stopping).run()
    except Stopped:
        message = "Stopped on request; measured parts are kept."
        journal.event(Event.STOPPED, message, exit_code=STOPPED, reason="sigterm")
        journal.sync()
        return STOPPED


def main(run_dir: Path) -> int:
    """Audit the run of a directory; results and errors are in its events. Returns the exit
    status.
    """
    return train.process(run_dir, audit)
