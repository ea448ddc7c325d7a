"""Files in a folder, and the versions that recipes make of them."""

import hashlib
from pathlib import Path
from typing import Any

import orjson

from orpo.audit import found, recipe
from orpo.audit.found import Named
from orpo.audit.make import make
from orpo.audit.sources import Source
from orpo.rows.formats import validate

MANY = 10**9


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


class Desk:
    """Files in a folder, and the versions that recipes make of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: list[Source] = []

    def upload(self, *rows: dict[str, Any], **findings: Named) -> Source:
        file_id = f"file-{len(self.sources)}"
        path = self.folder / f"{file_id}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return self.take(file_id, path, **findings)

    def take(self, file_id: str, path: Path, **findings: Named) -> Source:
        accepted = path.with_suffix(".rows")
        report = validate(path, "a.jsonl", accepted)
        assert not report.dropped
        assert not report.remarks
        found.write(path.with_suffix(".found"), findings)
        source = Source(file_id, accepted, path.with_suffix(".found"))
        self.sources.append(source)
        return source

    def make(self, *steps: dict[str, Any]) -> list[dict[str, Any]]:
        """The accepted rows of the version that the steps make of all files."""
        path = self.folder / "version.jsonl"
        done = make(self.sources, recipe.parse(list(steps)), path, MANY)
        written = path.read_bytes()
        assert done["sha256"] == hashlib.sha256(written).hexdigest()
        assert done["size_bytes"] == len(written)
        rows = self.folder / "version.rows"
        report = validate(path, "a.jsonl", rows)
        assert (report.accepted, report.dropped, report.remarks) == (done["rows"], {}, {})
        return [orjson.loads(row) for row in rows.read_bytes().splitlines()]

    def lines(self, *steps: dict[str, Any]) -> list[int]:
        """The lines that are left of the first file."""
        return [row["from"][1] for row in self.make(*steps)]


def contents(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        "|".join(message["content"] for message in row[part])
        for part in ("prompt", "chosen", "rejected")
    )
