"""Near duplicates: pairs of which at least four fifths of the text are the same.

MinHash signatures (rensa) of eight-byte pieces of the folded text, bands of equal signatures as
candidates, and the pieces of the texts themselves to decide. Follows Broder, "On the resemblance
and containment of documents" (1997).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue] - has no types

from orpo.audit.copies import Hashes, mix, numbered
from orpo.audit.found import Named
from orpo.audit.texts import BETWEEN, Row, folded_turns

# 16 bands of 5 hashes: a pair of rows with a similarity of 0.8 becomes a candidate with a
# probability of 0.998, one of 0.5 with 0.4.
BANDS, ROWS_OF_BAND = 16, 5
HASHES = BANDS * ROWS_OF_BAND
SEED = 1
PIECE = 8  # bytes
ALIKE = 0.8  # the share of pieces that two pairs have in common, of all that either has
ANSWERS_ALIKE = 0.7  # the same for their answers alone: a long prompt may have several
WORTH_A_LOOK = 0.7  # the share of equal hashes; its standard error is 0.045
# Beyond this number of candidates, equal hashes alone decide.
MOST_COMPARED = 100_000
ALIKE_BY_HASHES = 0.9

Signatures = NDArray[np.uint16]


def has_threads() -> bool:
    """Whether rensa has started its threads in this process; a fork would wait for them forever."""
    return _state.has_threads


class _State:
    has_threads = False


_state = _State()


def signatures(texts: Sequence[bytes]) -> Signatures:
    """The MinHash signatures [n, HASHES] of folded texts; 16 bits of each hash are enough."""
    if not texts:
        return np.empty((0, HASHES), np.uint16)
    padded = [text.ljust(PIECE, b"\0") for text in texts]
    sizes = np.array([len(text) for text in padded])
    pieces = _pieces(b"".join(padded))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    counts = (sizes - PIECE + 1).tolist()
    # The pieces that begin in one text and end in the next are left out.
    keep = np.ones(len(pieces) + PIECE - 1, bool)
    for back in range(1, PIECE):
        keep[starts[1:] - back] = False
    flat = pieces[keep[: len(pieces)]]
    ends = np.concatenate([[0], np.cumsum(counts)])
    return _digests(flat, ends)


def joined(parts: list[Signatures]) -> Signatures:
    """The signatures of blocks, one below the other."""
    return np.concatenate(parts) if parts else np.empty((0, HASHES), np.uint16)


def _pieces(text: bytes) -> Hashes:
    """A number for the eight bytes from each position on."""
    n = len(text) - PIECE + 1
    view = np.ndarray((n,), np.uint64, buffer=text, strides=(1,))
    with np.errstate(over="ignore"):
        return view * np.uint64(0x9E3779B97F4A7C15) ^ (view >> np.uint64(31))


def _digests(pieces: Hashes, ends: NDArray[np.int64]) -> Signatures:
    _state.has_threads = True
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        pieces, ends.astype(np.uint64), HASHES, SEED
    )
    return np.array(matrix.to_rows(), np.uint32).astype(np.uint16)


class Groups:
    """Rows that belong together: each knows a row before it, and the first of a group itself."""

    def __init__(self, n: int) -> None:
        self.before = np.arange(n, dtype=np.uint32)

    def first(self, place: int) -> int:
        """The first row of a row's group."""
        before = self.before
        while (above := int(before[place])) != place:
            before[place] = before[above]
            place = above
        return place

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.first(one), self.first(other)))
        self.before[high] = low

    def named(self) -> Named:
        """The rows of groups of two and more."""
        firsts = np.array([self.first(place) for place in self._joined()], np.uint32)
        places = np.array(self._joined(), np.uint32)
        places = np.concatenate([places, np.unique(firsts)])
        firsts = np.concatenate([firsts, np.unique(firsts)])
        order = np.argsort(places, kind="stable")
        return Named(places[order].astype(np.uint32), numbered(firsts[order]))

    def _joined(self) -> list[int]:
        return np.flatnonzero(self.before != np.arange(len(self.before))).tolist()


def found(
    signature: Signatures,
    wanted: NDArray[np.bool_],
    row_at: Callable[[int], Row],
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Named:
    """The near duplicates among the wanted rows (the first of each exact duplicate).

    `row_at` reads a row by its place; candidates are compared by their texts. `tell` is called with
    the number of rows that are compared, and that of all: a share of them with each band.
    """
    groups = Groups(len(signature))
    compare = _Comparison(row_at)
    for band in range(BANDS):
        for one, other in _candidates(signature, wanted, band):
            if groups.first(one) != groups.first(other) and compare(one, other, signature):
                groups.join(one, other)
        tell(len(signature) * (band + 1) // BANDS, len(signature))
    return groups.named()


def _candidates(
    signature: Signatures, wanted: NDArray[np.bool_], band: int
) -> list[tuple[int, int]]:
    """Pairs of rows whose hashes are equal in a band, and in most other places.

    A row is paired with the first row of its bucket and with the one before it.
    """
    places = np.flatnonzero(wanted)
    columns = signature[places, band * ROWS_OF_BAND : (band + 1) * ROWS_OF_BAND].astype(np.uint64)
    keys = columns[:, 0]
    for column in range(1, ROWS_OF_BAND):
        keys = mix(keys, columns[:, column])
    order = np.argsort(keys, kind="stable")
    keys, places = keys[order], places[order]
    begins = np.ones(len(keys), bool)
    begins[1:] = keys[1:] != keys[:-1]
    later = np.flatnonzero(~begins)
    first = places[np.flatnonzero(begins)[np.cumsum(begins)[later] - 1]]
    pairs = np.stack(
        [np.concatenate([first, places[later - 1]]), np.concatenate([places[later]] * 2)], axis=1
    )
    pairs = np.unique(pairs, axis=0)
    return [pair for pair in pairs.tolist() if _share(signature, *pair) >= WORTH_A_LOOK]


def _share(signature: Signatures, one: int, other: int) -> float:
    return np.count_nonzero(signature[one] == signature[other]) / HASHES


class _Comparison:
    """Compares two rows by the pieces of their texts, each two once and at most some number."""

    def __init__(self, row_at: Callable[[int], Row]) -> None:
        self.row_at = row_at
        self.known: set[tuple[int, int]] = set()

    def __call__(self, one: int, other: int, signature: Signatures) -> bool:
        if (one, other) in self.known:
            return False
        if len(self.known) >= MOST_COMPARED:
            return _share(signature, one, other) >= ALIKE_BY_HASHES
        self.known.add((one, other))
        return are_alike(self.row_at(one), self.row_at(other))


def are_alike(one: Row, other: Row) -> bool:
    """Whether two pairs share at least four fifths of their pieces, and their answers most."""
    texts = [_folded(one), _folded(other)]
    return (
        similarity(*(BETWEEN.join(parts) for parts in texts)) >= ALIKE
        and similarity(*(BETWEEN.join(parts[1:]) for parts in texts)) >= ANSWERS_ALIKE
    )


def _folded(row: dict[str, Any]) -> tuple[bytes, bytes, bytes]:
    return (
        folded_turns(row["prompt"]),
        folded_turns(row["chosen"]),
        folded_turns(row["rejected"] or ()),
    )


def similarity(one: bytes, other: bytes) -> float:
    """The share of eight-byte pieces that two texts have in common (Jaccard)."""
    sets = [np.unique(_pieces(text.ljust(PIECE, b"\0"))) for text in (one, other)]
    common = len(np.intersect1d(*sets, assume_unique=True))
    return common / (len(sets[0]) + len(sets[1]) - common)
