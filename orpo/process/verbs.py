"""What the verbs `python -m orpo.<verb>` have in common: one JSON object on stdout, last line.

An error is `{"error": {code, message, hint, param}}` and the status that `failures` gives it.
"""

import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orpo.contract.failures import explain


def answer(work: Callable[[], Mapping[str, Any]]) -> int:
    """Do the work, print what it returns, or why it could not; returns the exit status."""
    try:
        result = dict(work())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  every end of a verb is JSON, a panic's as well
        traceback.print_exc()
        failure = explain(error)
        print(json.dumps({"error": failure.to_json()}))
        return failure.exit_status
    print(json.dumps(result))
    return 0


def folder_facts(folder: Path) -> dict[str, Any]:
    """`{path, size_bytes}` of a folder that a verb has written."""
    return {"path": str(folder), "size_bytes": sum(p.stat().st_size for p in folder.iterdir())}
