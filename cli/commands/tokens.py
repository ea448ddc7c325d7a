"""What a base model sees of a row: `oddsmith files show ID --line N --model M`."""

from itertools import groupby
from typing import Any

from rich.text import Text

from cli.client.http import connect, segment
from cli.view import output


def show(file_id: str, line: int, model: str, as_json: bool) -> None:
    """Print a row as the base model's template renders it, what is trained in brackets."""
    found = connect().get(f"/v1/files/{segment(file_id)}/rows/{line}/tokens", model=model)
    if as_json:
        output.emit(found)
        return
    if found["dropped"]:
        output.say(f"A run leaves line {line} out ({found['dropped']}). {found['why']}")
        return
    for name in ("prefix", "chosen", "rejected"):
        if (part := found[name]) is not None:
            output.say(f"{name}: tokens {part['n_tokens']}, trained {part['n_trained']}")
            output.say(_marked(part["tokens"]))
            if (more := part["n_tokens"] - len(part["tokens"])) > 0:
                output.say(f"  … and {more} more.")
    if found["truncated"]:
        output.say("The row is longer than max_length: it was cut.")
    if found.get("reasoning_stripped"):
        output.say("The chat template leaves out the thoughts of the answers: they were removed.")
    if found.get("history_thoughts_dropped"):
        output.say("The chat template leaves out thoughts of earlier turns.")


def _marked(tokens: list[dict[str, Any]]) -> Text:
    text = Text("  ")
    for trained, some in groupby(tokens, lambda token: token["trained"]):
        part = output.plain("".join(token["text"] for token in some)).replace("\n", "⏎\n  ")
        text.append(f"⟦{part}⟧" if trained else part, "green" if trained else "dim")
    text.rstrip()
    return text
