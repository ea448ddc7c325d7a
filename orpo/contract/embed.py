"""Embedding texts: the files of `python -m orpo.embed`.

    python -m orpo.embed ROWS OUT

ROWS has one JSON object a line, `{"text": "..."}`; an empty file is allowed, and shows whether the
embedder can be used. OUT gets one `Embedded` a line, in the order of ROWS; it is whole or not
there. The last line on stdout is a `Summary`, or an error as every verb prints it: `bad_data` names
the line of a row that has another shape, `bad_spec` says that the embedder is not installed, and
`bad_model` that its files are damaged.

Imports no torch: services and workers read and write these files.
"""

from typing import TypedDict


class Embedded(TypedDict):
    """A line of OUT. `vector` has length 1; `truncated` says that the text has more tokens than the
    embedder reads: only its beginning is in the vector.
    """

    vector: list[float]
    truncated: bool


class Embedder(TypedDict):
    """What makes the vectors. They compare only with vectors of the same `weights_sha256`."""

    name: str
    weights_sha256: str
    # Tokens of a text that it reads, and the numbers of a vector.
    max_tokens: int
    width: int


class Summary(TypedDict):
    """What the verb prints."""

    rows: int
    embedder: Embedder
