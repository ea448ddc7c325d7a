"""The rows of a finding as a step names them: also those of the deep audits that it names."""

import numpy as np
from numpy.typing import NDArray

from orpo.audit import found
from orpo.audit.recipe import Drop, Swap
from orpo.audit.refusals import refused
from orpo.audit.selection import Selection

Places = NDArray[np.intp]


def places(rows: Selection, at: int, step: Drop | Swap) -> Places:
    """The places of the rows of a step's finding, in all files, ascending.

    A file without such an audit has none. Raises Failure if no file has such rows; a preview that
    reads only a part of them does not.
    """
    named = np.concatenate([_in_source(rows, number, step) for number in range(len(rows.sources))])
    if not len(named) and rows.is_whole:
        names = " and ".join(source.file_id for source in rows.sources)
        why = f"the audit of {names} names no row with the finding {step.finding}."
        raise refused(at, step, "finding", why)
    return named


def _in_source(rows: Selection, number: int, step: Drop | Swap) -> Places:
    source = rows.sources[number]
    path = source.found
    if step.audits is not None:
        path = source.audits.get(step.audits.get(source.file_id, ""))
    if path is None:
        return np.empty(0, np.intp)
    named = found.read(path, str(step.finding)).places
    return named[named < rows.sizes[number]].astype(np.intp) + int(rows.starts[number])
