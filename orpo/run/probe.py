"""A few log-probs that show whether an engine serves the trained weights.

The trainer writes them into each checkpoint as `probe.json`. `python -m orpo.probe DIR` prints that
file, or computes the probe if DIR is a base model. The log-probs are computed in fp32 from the
weights as they are saved, whatever precision the run computes in. So the engine's rounding is the
only one in the comparison; an engine that computes in fp32 adds none. Knows the policy; knows no
engine.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from orpo.base.files import weight_files
from orpo.contract.hyperparameters import Precision, SpecialTokens
from orpo.contract.manifest import sha256, weights_digest
from orpo.contract.rundir import PROBE
from orpo.contract.special import admit
from orpo.layers.peft import PeftModel
from orpo.layers.widen import widened
from orpo.model.policy import Policy, load_base, token_logps
from orpo.process.verbs import answer
from orpo.rows.formats import Message, Pair, Reject
from orpo.rows.messages import as_request, as_text, messages, with_ids
from orpo.tokens import embedded
from orpo.tokens.pack import collate
from orpo.tokens.special_text import admitted, special_ids, special_strings
from orpo.tokens.templates import (
    knows_thinking,
    load_tokenizer,
    render,
    render_text,
    time_printed,
)
from orpo.tokens.tokenize import Example
from orpo.tokens.tool_text import Tools, has_tools, require_shown

PROMPTS = 2
TOOLS_WITHIN = 2_000  # pairs; a file of tools has one among them
COMPLETION_TOKENS = 16
HOSTILE_STRINGS = 32
# The prompts for a base model, which has no run to take prompts from.
FIXED = [
    ("What is the capital of France?", "The capital of France is Paris, a city on the Seine."),
    ("Name three primary colours.", "Red, yellow and blue are the three primary colours."),
]


@dataclass(frozen=True)
class Prompt:
    """A conversation and the completion tokens that are scored after it; log-probs in nats per
    token. `rendered_at` is the time (ISO 8601) that the template printed, or None. `tools` are the
    definitions that the prompt shows. `thinking` holds the prompt's tokens with `enable_thinking`
    `on` and `off`, if the template reads that setting.
    """

    messages: list[Message]
    prompt_token_ids: list[int]
    completion_token_ids: list[int]
    base_logprobs: list[float]
    rendered_at: str | None = None
    tools: list[dict[str, Any]] | None = None
    thinking: dict[str, list[int]] | None = None

    def example(self) -> Example:
        """The prompt in the form of a training example."""
        n = len(self.completion_token_ids)
        return Example(
            line=0,
            prefix=self.prompt_token_ids,
            chosen=self.completion_token_ids,
            rejected=None,
            prefix_mask=[False] * len(self.prompt_token_ids),
            chosen_mask=[True] * n,
            rejected_mask=[],
            truncated=False,
        )


def choose(
    pairs: Iterable[Pair],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    rule: SpecialTokens = SpecialTokens.REFUSE,
    n_embedded: int | None = None,
) -> list[Prompt]:
    """The first prompts that fit, pass `rule`, are not refused by the template and have ids below
    `n_embedded`, each with the beginning of its chosen answer.

    One of them has tools if one of the first `TOOLS_WITHIN` pairs does.
    """
    prompts, strings, now = [], special_strings(tokenizer), time_printed(tokenizer)
    for at, row in enumerate(pairs):
        has_tools = any(prompt.tools for prompt in prompts)
        if at >= TOOLS_WITHIN or (len(prompts) >= PROMPTS and has_tools):
            break
        if (len(prompts) >= PROMPTS and not row.tools) or _engines_change(row.prompt):
            continue
        try:
            made = _prompt(admitted(row, tokenizer, strings, rule), tokenizer, max_length, now)
        except Reject:
            continue
        ids = [*made.prompt_token_ids, *made.completion_token_ids]
        if made.completion_token_ids and (n_embedded is None or max(ids) < n_embedded):
            prompts = [*prompts[: PROMPTS - 1], made]
    return prompts


def _engines_change(prompt: list[Message]) -> bool:
    """Whether a call's arguments are text: engines replace arguments that are no object."""
    calls = (call for turn in prompt for call in turn.get("tool_calls", ()))
    return any(isinstance(call["function"]["arguments"], str) for call in calls)


def _prompt(
    pair: Pair, tokenizer: PreTrainedTokenizerBase, max_length: int, now: str | None
) -> Prompt:
    """The prompt of a pair; it has no completion tokens if none fit.

    Raises Reject where the template refuses the prompt, or does not show its tools.
    """
    if has_tools(pair.prompt, pair.tools):
        shown = partial(_shown, tokenizer, now)
        require_shown(shown, pair.prompt, pair.tools)

    turns = with_ids(pair.prompt)

    def tokens(**variables: bool) -> list[int]:
        return render(tokenizer, turns, True, now, pair.tools, **variables)

    prompt = tokens()
    said = pair.chosen[0]["content"] or as_text(pair.chosen[0])
    answer = tokenizer(said, add_special_tokens=False)["input_ids"]
    room = max(0, min(COMPLETION_TOKENS, max_length - len(prompt)))
    thinking = None
    if knows_thinking(tokenizer):
        thinking = {"on": tokens(enable_thinking=True), "off": tokens(enable_thinking=False)}
    return Prompt(turns, prompt, answer[:room], [], now, pair.tools, thinking)


def _shown(
    tokenizer: PreTrainedTokenizerBase, now: str | None, messages: list[Message], tools: Tools
) -> str:
    return render_text(tokenizer, messages, True, now, tools)


def with_base(policy: Policy, prompts: Sequence[Prompt], precision: Precision) -> list[Prompt]:
    """The prompts with the base's log-probs. Call it before the first step: the policy still is the
    base.
    """
    return [replace(p, base_logprobs=score(policy, p, precision)) for p in prompts]


@torch.no_grad()
def score(policy: Policy, prompt: Prompt, precision: Precision) -> list[float]:
    """Log-prob of each completion token under the weights that `precision` saves, in fp32."""
    batch = collate([prompt.example()], prefix_sharing=True, rejected=False).to(policy.device)
    rounds = precision is Precision.BF16 and not isinstance(policy, PeftModel)
    with widened(policy, torch.bfloat16 if rounds else None):
        return token_logps(policy, batch, Precision.FP32).tolist()


def hostile(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any] | None:
    """A prompt full of the base's special strings, escaped, and its tokens.

    An engine that renders it to the same tokens escapes as the trainer does. `is_plain` says that
    none of the strings became a special token: the prompt has as many as one with harmless text.
    None if the base has no special strings, or its template refuses a single message.
    """
    strings = special_strings(tokenizer)[:HOSTILE_STRINGS]
    texts = (admit(" ".join(strings), strings, SpecialTokens.ESCAPE), "harmless")
    conversations = [[Message(role="user", content=text)] for text in texts]
    now = time_printed(tokenizer)
    try:
        tokens, harmless = (render(tokenizer, c, True, now) for c in conversations)
    except Reject:
        return None
    ids = set(special_ids(tokenizer).values())
    count, expected = (sum(token in ids for token in each) for each in (tokens, harmless))
    prompt = {"messages": conversations[0], "prompt_token_ids": tokens, "rendered_at": now}
    return {**prompt, "is_plain": count == expected} if strings else None


def report(
    policy: Policy,
    prompts: Sequence[Prompt],
    precision: Precision,
    weights_sha256: str,
    hostile: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of `probe.json` for the current policy."""
    scored = [{**_as_json(p), "logprobs": score(policy, p, precision)} for p in prompts]
    return {"prompts": scored, "hostile": hostile, "weights_sha256": weights_sha256}


def _as_json(prompt: Prompt) -> dict[str, Any]:
    """A prompt's fields, without `tools` and `thinking` where it has none.

    Its messages can be sent to an engine as they are.
    """
    found = vars(prompt).items()
    made = {key: value for key, value in found if value or key not in ("tools", "thinking")}
    return made | {"messages": [*map(as_request, prompt.messages)]}


def read(folder: Path) -> list[Prompt]:
    """The prompts of a checkpoint with their base log-probs."""
    return [prompt_of(p) for p in json.loads((folder / PROBE).read_text())["prompts"]]


def prompt_of(scored: dict[str, Any]) -> Prompt:
    """A prompt of `probe.json`, without the policy's log-probs."""
    fields = {key: held for key, held in scored.items() if key not in ("messages", "logprobs")}
    return Prompt(messages=messages(scored["messages"], "messages", "user"), **fields)


def of_base(folder: Path) -> dict[str, Any]:
    """The probe of a base model folder, computed here."""
    tokenizer = load_tokenizer(folder)
    policy = load_base(folder, None)
    pairs = [
        Pair(0, [Message(role="user", content=q)], [Message(role="assistant", content=a)], None)
        for q, a in FIXED
    ]
    rule, n_embedded = SpecialTokens.REFUSE, embedded.size(folder)
    chosen = choose(pairs, tokenizer, 2**31, rule, n_embedded)
    prompts = with_base(policy, chosen, Precision.FP32)
    files = {path.name: {"sha256": sha256(path)} for path in weight_files(folder)}
    digest = weights_digest(files, "")
    return report(policy, prompts, Precision.FP32, digest, hostile(tokenizer))


def main(folder: Path) -> int:
    """Print the probe of a checkpoint or of a base model as JSON."""
    written = folder / PROBE
    return answer(lambda: json.loads(written.read_text()) if written.is_file() else of_base(folder))
