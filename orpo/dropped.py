"""`python -m orpo.dropped SOURCE NAME REQUEST`: the original text of rows that were dropped.

The work is done by `orpo.rows.dropped`. REQUEST is a JSON file with findings of the report:
`{"findings": [{"line", "column", "code", "message"}], "columns": {...}}`; NAME is the uploaded file
name.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orpo.process.verbs import answer
from orpo.rows.dropped import originals
from orpo.rows.formats import Finding


def main(source: Path, name: str, request: Path) -> int:
    """Print `{"texts": [{"text", "first_character"}]}`, one for each finding."""

    def work() -> dict[str, Any]:
        asked = json.loads(request.read_bytes())
        findings = [Finding(**finding) for finding in asked["findings"]]
        texts = originals(source, name, findings, asked["columns"])
        return {"texts": [asdict(text) for text in texts]}

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
