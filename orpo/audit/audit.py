"""The audit of a file's accepted rows: every finding with its rows, figures, and a judgement.

Memory grows by about 300 bytes a row. Large files are looked at by two processes.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orpo.audit import copies, languages, lengths, near, verdict
from orpo.audit.blocks import Offsets, rows_of
from orpo.audit.found import Named
from orpo.audit.kinds import KINDS, Severity
from orpo.audit.lengths import Chars, Length
from orpo.audit.scan import Scanned, scan
from orpo.audit.texts import Row
from orpo.audit.verdict import Counts, Verdict

# Takes the stage (`LOOK`, `COMPARE`), how many rows are done, and how many there are.
Tell = Callable[[str, int, int], None]

LOOK, COMPARE = "audit", "compare"
LINES = 10
PROCESSES = 2
WORTH_A_PROCESS = 4_000_000  # bytes of rows
SAMPLE_SEED = 3
ORDER = {severity: place for place, severity in enumerate(Severity)}


class Accepted(NamedTuple):
    """The accepted rows of a file: their path, and where each begins."""

    path: Path
    offsets: Offsets

    def row(self, place: int) -> Row:
        """The row at a place. Raises OSError."""
        return next(rows_of(self.path, self.offsets, [place]))


@dataclass(frozen=True)
class Found:
    """What an audit found; `named` has the rows of each finding, `lines` where each row stood in
    the uploaded file.
    """

    verdict: Verdict
    named: dict[str, Named]
    first_lines: dict[str, list[int]]
    length: Length | None
    languages: list[tuple[str, int]]
    sampled: int

    def to_json(self) -> dict[str, Any]:
        """The report's part `audit`."""
        findings = [
            {
                **KINDS[code].to_json(),
                "rows": len(named.places),
                "lines": self.first_lines[code],
            }
            for code, named in self.named.items()
        ]
        return {
            "verdict": str(self.verdict.verdict),
            "reasons": self.verdict.reasons,
            "findings": findings,
            "length": self.length.to_json() if self.length else None,
            "languages": [{"language": name, "rows": rows} for name, rows in self.languages],
            "sampled": self.sampled,
        }


def audit(
    accepted: Accepted,
    n_rows: int,
    scores: dict[str, Named],
    *,
    with_estimates: bool = True,
    tell: Tell = lambda _stage, _done, _total: None,
) -> Found:
    """Audit a file's accepted rows.

    `n_rows` is how many rows the uploaded file has; `scores` are the findings of its score columns.
    Without estimates, only exact findings are made, in less time. `tell` is called while rows are
    looked at and while they are compared. Raises OSError.
    """
    scanned = _scan(accepted, with_estimates, partial(tell, LOOK))
    named = {code: Named(places) for code, places in scanned.marks.items()}
    named |= scores | copies.found(scanned.parts)
    length, spoken = None, languages.Languages([], Named(np.empty(0, np.uint32)), 0)
    if with_estimates and len(accepted.offsets):
        wanted = copies.firsts(scanned.parts)
        signature = scanned.columns["signature"]
        named["near_duplicate"] = near.found(
            signature, wanted, accepted.row, partial(tell, COMPARE)
        )
        spoken = languages.found(_sample(accepted, languages.SAMPLE))
        named["mixed_language"] = spoken.mixed
        length = _length(accepted, scanned)
    named = _sorted(named)
    line = scanned.columns["line"]
    return Found(
        verdict=verdict.judge(
            _counts(n_rows, scanned), {code: len(of.places) for code, of in named.items()}, length
        ),
        named=named,
        first_lines={code: line[of.places[:LINES]].tolist() for code, of in named.items()},
        length=length,
        languages=spoken.rows,
        sampled=spoken.sampled,
    )


def _length(accepted: Accepted, scanned: Scanned) -> Length | None:
    chars = Chars(scanned.columns["chosen_chars"], scanned.columns["rejected_chars"])
    if not chars.rejected.any():  # rows for supervised tuning
        return None
    return lengths.found(chars, _sample(accepted, lengths.SAMPLE))


def _sorted(named: dict[str, Named]) -> dict[str, Named]:
    """Findings that have rows: errors first, then by the number of rows."""
    some = [code for code, of in named.items() if len(of.places)]
    some.sort(key=lambda code: (ORDER[KINDS[code].severity], -len(named[code].places), code))
    return {code: named[code] for code in some}


def _counts(n_rows: int, scanned: Scanned) -> Counts:
    prompts, times = np.unique(scanned.parts.prompt, return_counts=True)
    return Counts(
        rows=n_rows,
        accepted=len(scanned.parts.prompt),
        most_common_prompt=int(times.max()) if len(times) else 0,
        prompts=len(prompts),
    )


def _sample(accepted: Accepted, n: int) -> Iterator[tuple[int, Row]]:
    """Yield `n` rows with their places, ascending, or all; the same ones in each run."""
    size = len(accepted.offsets)
    places = range(size)
    if n < size:
        drawn = np.random.default_rng(SAMPLE_SEED).choice(size, n, replace=False)
        places = np.sort(drawn).tolist()
    return zip(places, rows_of(accepted.path, accepted.offsets, list(places)), strict=True)


def _scan(accepted: Accepted, with_estimates: bool, tell: Callable[[int, int], None]) -> Scanned:
    """Look at all rows; in two processes where that is worth it."""
    n = len(accepted.offsets)
    half = int(np.searchsorted(accepted.offsets, accepted.path.stat().st_size // 2))
    is_large = accepted.path.stat().st_size >= WORTH_A_PROCESS and 0 < half < n
    can_fork = len(os.sched_getaffinity(0)) >= PROCESSES and not near.has_threads()
    if not is_large or not can_fork:
        return scan(*accepted, 0, n, with_estimates=with_estimates, tell=tell)
    part = accepted.path.with_name(accepted.path.name + ".part")
    # A fork shares the secret of `hash`, so that hashes of both processes can be compared.
    other = multiprocessing.get_context("fork").Process(
        target=_scan_to, args=(part, accepted, half, with_estimates)
    )
    other.start()
    try:
        # The other half takes about as long.
        mine = scan(*accepted, 0, half, with_estimates=with_estimates, tell=tell)
        other.join()
        if other.exitcode != 0:
            raise ChildProcessError(f"the second process ended with {other.exitcode}")
        return Scanned.joined([mine, Scanned.read(part)])
    finally:
        other.kill()
        part.unlink(missing_ok=True)


def _scan_to(path: Path, accepted: Accepted, first: int, with_estimates: bool) -> None:
    scan(*accepted, first, len(accepted.offsets), with_estimates=with_estimates).write(path)
