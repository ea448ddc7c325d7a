"""`python -m orpo.embed ROWS OUT`: the vectors of a file's texts.

`orpo.contract.embed` describes the files. Rows are read and embedded in groups, so that memory does
not grow with the file. Knows nothing of what the vectors are for.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from orpo.contract.embed import Embedded, Summary
from orpo.contract.failures import Code, Failure
from orpo.model import embedder
from orpo.model.embedder import Embedder
from orpo.process.verbs import answer

ROWS_AT_ONCE = 512
DIGITS = 7  # after the point: fp32 has no more


def read_row(line: int, text: str) -> str:
    """The text of a line of ROWS. Raises Failure(`bad_data`) for any other shape."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    found = value.get("text") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(found, str):
        raise Failure(
            Code.BAD_DATA,
            f"Line {line} can't be embedded: it is no object with one text.",
            'Write {"text": "..."} in each line, as orpo.contract.embed says.',
            "rows",
        )
    return found


def embed(model: Embedder, rows: Path, out: Path) -> Summary:
    """Embed the texts of a file into another, which is whole or not there.

    Raises Failure(`bad_data`) for a row of an unknown shape, and OSError.
    """
    count = 0
    temporary = out.with_name(f"{out.name}.tmp")
    try:
        with rows.open(encoding="utf-8") as lines, temporary.open("w", encoding="utf-8") as file:
            for texts in _groups(read_row(n, line) for n, line in enumerate(lines, 1)):
                for found in _embedded(model, texts):
                    file.write(json.dumps(found) + "\n")
                count += len(texts)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return Summary(rows=count, embedder=model.facts)


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(texts)
    while some := list(islice(left, ROWS_AT_ONCE)):
        yield some


def _embedded(model: Embedder, texts: list[str]) -> Iterator[Embedded]:
    found = model.embed(texts)
    for vector, truncated in zip(found.values.tolist(), found.truncated, strict=True):
        yield Embedded(vector=[round(x, DIGITS) for x in vector], truncated=truncated)


def main(rows: Path, out: Path) -> int:
    """Embed and print the summary; see `orpo.contract.embed`."""

    def work() -> dict[str, Any]:
        torch.use_deterministic_algorithms(True, warn_only=True)
        return dict(embed(embedder.load(), rows, out))

    return answer(work)
