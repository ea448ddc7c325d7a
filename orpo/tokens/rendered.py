"""`python -m orpo.rendered MODEL_DIR PROBE_FILE TIME...`: how the trainer renders a probe.

An engine renders with its own clock, so a template that prints the date gives other tokens on
another day than in the training. This says what the trainer's code gives at other times. Loads the
tokenizer, no weights.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orpo.process.verbs import answer
from orpo.rows.formats import Reject
from orpo.rows.messages import messages
from orpo.tokens.templates import load_tokenizer, render


def rendered(model: Path, probe: Path, times: Sequence[str]) -> dict[str, Any]:
    """Token ids of the probe's prompts, its hostile one last, at each of `times` (ISO 8601).

    `as_recorded` says whether this tokenizer gives the recorded token ids at the recorded times.
    """
    tokenizer, content = load_tokenizer(model), json.loads(probe.read_text())
    prompts = [*content["prompts"], *filter(None, [content.get("hostile")])]
    recorded = [prompt["prompt_token_ids"] for prompt in prompts]

    def ids(prompt: dict[str, Any], time: str | None) -> list[int]:
        turns = messages(prompt["messages"], "messages", "user")
        return render(tokenizer, turns, True, time, prompt.get("tools"))

    try:
        own = [ids(prompt, prompt.get("rendered_at")) for prompt in prompts]
        at = [[ids(prompt, time) for prompt in prompts] for time in times]
    except Reject:
        return {"as_recorded": False, "at": []}
    return {"as_recorded": own == recorded, "at": at}


def main(model: Path, probe: Path, times: Sequence[str]) -> int:
    """Print `{"as_recorded", "at"}`."""
    return answer(lambda: rendered(model, probe, times))
