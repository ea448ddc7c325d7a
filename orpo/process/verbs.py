"""The common output of the verbs `python -m orpo.<verb>`: one JSON object, the last line on stdout.

An error is `{"error": {code, message, hint, param}}` and the exit status is the one in `failures`.
"""

import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orpo.contract.failures import explain


def answer(work: Callable[[], Mapping[str, Any]]) -> int:
    """Do the work, print its result or its error, and return the exit status."""
    try:
        result = dict(work())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  a verb always ends with JSON, even after a panic
        traceback.print_exc()
        failure = explain(error)
        print(json.dumps({"error": failure.to_json()}))
        return failure.exit_status
    print(json.dumps(result))
    return 0


def folder_facts(folder: Path) -> dict[str, Any]:
    """`{path, size_bytes}` of a folder that a verb has written."""
    return {"path": str(folder), "size_bytes": sum(p.stat().st_size for p in folder.iterdir())}
