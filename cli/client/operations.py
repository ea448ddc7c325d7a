"""The API's operations and the commands that do the same: errors of the API name operations, and a
user of the command line needs commands.

A message names an operation as `METHOD /path`, such as `GET /v1/judges`.
"""

import re
import shlex
from typing import Any

# Operations that the API's messages name, and the command for each. None: there is no command, so
# the sentence that names the operation is left out. `{id}` is what the message has in its place.
COMMANDS: dict[str, str | None] = {
    "GET /v1/api_keys": "keys list",
    "POST /v1/comparisons/{id}/vote": None,
    "GET /v1/deployments": "deployments list",
    "POST /v1/deployments": "models deploy MODEL",
    "GET /v1/evaluations": "evaluations list",
    "GET /v1/files": "files list",
    "POST /v1/files": "files upload PATH",
    "GET /v1/files/{id}/deep_audits": None,
    "GET /v1/files/{id}/report": "files report {id}",
    "GET /v1/fine_tuning/jobs": "jobs list",
    "GET /v1/fine_tuning/jobs/{id}/checkpoints": "jobs checkpoints {id}",
    "GET /v1/judges": "judges list",
    "GET /v1/models": "models list",
    "POST /v1/models": "models add ID_OR_FOLDER",
    "GET /v1/models/{id}": "models show {id}",
    "POST /v1/uploads": "files upload PATH",
    "GET /v1/uploads/{id}/parts": None,
    "GET /v1/webhooks": "webhooks list",
    "GET /v1/webhooks/{id}/deliveries": "webhooks deliveries {id}",
    "GET /v1/workers": None,
}
# The path ends before the punctuation of the sentence; ids hold dots and colons, too.
OPERATION = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE) /v1/\S+?(?=[.,;:)'`\"]*(?:\s|$))")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def in_commands(message: str) -> str:
    """Return a message of the API with the command in the place of each operation it names.

    A sentence is left out if it names an operation that has no command or is not known here.
    """
    if not OPERATION.search(message):
        return message
    said = [_said(sentence) for sentence in SENTENCE.split(message)]
    return " ".join(sentence for sentence in said if sentence is not None) or message


def _said(sentence: str) -> str | None:
    commands = {found: command_for(found) for found in OPERATION.findall(sentence)}
    if None in commands.values():
        return None
    return OPERATION.sub(lambda found: f"`oddsmith {commands[found.group()]}`", sentence)


def command_for(operation: str) -> str | None:
    """The command for `METHOD /path`, without `oddsmith`; None if there is none."""
    for known, command in COMMANDS.items():
        before, _, after = known.partition("{id}")
        if "{id}" not in known:
            if operation == known:
                return command
            continue
        found = operation.removeprefix(before).removesuffix(after)
        # A model's name may hold slashes, and so may not end another path.
        if f"{before}{found}{after}" == operation and found:
            return command and command.format(id=shlex.quote(found))
    return None


def reason(error: dict[str, Any] | str | None) -> str:
    """What an error object of the API says to a person, its hint included; empty if it is None."""
    if not isinstance(error, dict):
        return in_commands(error or "")
    parts = (error.get("message"), error.get("hint"))
    return in_commands(" ".join(str(part) for part in parts if part))
