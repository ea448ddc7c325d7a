"""Pairs of messages to token ids: a shared prefix, two tails, and which tokens are trained.

Knows renderings (`rendering.py`) and lengths; knows nothing of models, packing or devices. Every
position is found by tokenising a whole rendering and comparing token prefixes. Labels never depend
on token values (pad may equal eos) or on two separately tokenised texts.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from orpo.contract.hyperparameters import Hyperparameters, Overlong, Turns
from orpo.contract.methods import Preference
from orpo.rows.formats import Pair, Reject
from orpo.tokens.dropped import Dropped
from orpo.tokens.embedded import check_ids
from orpo.tokens.example import Example
from orpo.tokens.rendering import Draft, Renderer, Side
from orpo.tokens.special_text import admitted, special_strings
from orpo.tokens.templates import template_name

PAIRS_PER_CHUNK = 256
FACTS = ("reasoning_stripped", "history_thoughts_dropped", "with_tools")
SAME_TURNS = {
    Turns.LAST: "Both answers end with the same turn. They differ in an earlier one, which only "
    "turns: all would train.",
    Turns.ALL: "Both answers have the same trained turns. They differ in a turn that can't be "
    "trained, because the chat template rewrites the turns before it.",
}


def tokenize_pairs(
    pairs: Iterable[Pair],
    tokenizer: PreTrainedTokenizerBase,
    method: Hyperparameters,
    n_embedded: int | None = None,
    dropped: Dropped | None = None,
) -> tuple[list[Example], Counter[str], dict[str, Any]]:
    """Tokenise pairs under the limits of `method`, for a model with `n_embedded` embeddings (None:
    as many as the tokenizer needs). Pass `dropped` to learn the lines of dropped pairs.

    Returns the examples, the number dropped by reason (`prompt_too_long`, `identical`,
    `identical_after_truncation`, `same_trained_turns`, `no_rejected`, `special_token`, `template`,
    `answer_lost`, `tools`, `unknown_token`) and statistics: `reasons` (by reason, the first such
    row's line and what is wrong with it), `special_token` (the same of that reason, or None),
    `template` (`default`|`model`), `tokens`, `tokens_unshared`, `truncated` (examples),
    `border_merges` (sequences whose prompt tokens differ from an engine's, because the answer's
    first characters merged into the prompt's last token). The last three count pairs that could be
    rendered: `reasoning_stripped` (trained without the thoughts of their answers),
    `history_thoughts_dropped` (of which the template leaves out thoughts of earlier turns) and
    `with_tools`.
    """
    examples: list[Example] = []
    dropped = Dropped() if dropped is None else dropped
    border_merges = 0
    seen: Counter[str] = Counter()
    for chunk in _chunks(pairs, PAIRS_PER_CHUNK):
        drafts = list(_drafts(chunk, tokenizer, method, dropped))
        ids = _encode(tokenizer, (text for draft in drafts for text in draft.texts()))
        for draft in drafts:
            border_merges += _border_merges(draft, ids)
            seen.update(_facts(draft))
            try:
                example = check_ids(_example(draft, ids), tokenizer, n_embedded)
                examples.append(_fit(example, tokenizer, method))
            except Reject as reject:
                dropped.add(draft.line, reject)
    stats = {
        "reasons": dropped.reasons,
        "special_token": dropped.reasons.get("special_token"),
        "template": template_name(tokenizer),
        "tokens": sum(example.n_tokens for example in examples),
        "tokens_unshared": sum(example.n_tokens_unshared for example in examples),
        "truncated": sum(example.truncated for example in examples),
        "border_merges": border_merges,
        **{fact: seen[fact] for fact in FACTS},
    }
    return examples, dropped.counts, stats


def _facts(draft: Draft) -> Iterator[str]:
    facts = (draft.is_stripped, draft.is_forgetful, draft.has_tools)
    return itertools.compress(FACTS, facts)


def _drafts(
    pairs: list[Pair],
    tokenizer: PreTrainedTokenizerBase,
    method: Hyperparameters,
    dropped: Dropped,
) -> Iterator[Draft]:
    """The pairs that can be rendered, without special strings in their text."""
    strings, renderer = (
        special_strings(tokenizer),
        Renderer(tokenizer, method.turns, method.reasoning),
    )
    for pair in pairs:
        try:
            plain = admitted(pair, tokenizer, strings, method.special_tokens)
            _require_rejected(plain, method)
            yield renderer.draft(plain)
        except Reject as reject:
            dropped.add(pair.line, reject)


def _require_rejected(pair: Pair, method: Hyperparameters) -> None:
    if pair.rejected is None and isinstance(method, Preference):
        raise Reject("no_rejected", "The row has no rejected answer.")


def _chunks(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    iterator = iter(pairs)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> dict[str, list[int]]:
    unique = list(dict.fromkeys(texts))
    if not unique:  # transformers fails on an empty batch
        return {}
    return dict(zip(unique, tokenizer(unique, add_special_tokens=False)["input_ids"], strict=True))


# --- masks and lengths ----------------------------------------------------------------------------


def _border_merges(draft: Draft, ids: dict[str, list[int]]) -> int:
    prompt = ids[draft.prompt]
    return sum(_common(prompt, ids[side.text]) < len(prompt) for side in draft.sides())


def _example(draft: Draft, ids: dict[str, list[int]]) -> Example:
    """The pair in tokens, untruncated; its prefix ends at or before the answers."""
    prompt, chosen = ids[draft.prompt], ids[draft.chosen.text]
    chosen_mask = _mask(draft.chosen, ids)
    end = _common(prompt, chosen)
    rejected, rejected_mask = None, []
    if draft.rejected is not None:
        rejected, rejected_mask = ids[draft.rejected.text], _mask(draft.rejected, ids)
        end = min(end, _common(prompt, rejected))
    return Example(
        line=draft.line,
        prefix=chosen[:end],
        chosen=chosen[end:],
        rejected=None if rejected is None else rejected[end:],
        prefix_mask=chosen_mask[:end],
        chosen_mask=chosen_mask[end:],
        rejected_mask=rejected_mask[end:],
        truncated=False,
    )


def _common(left: list[int], right: list[int]) -> int:
    """Length of the longest common prefix."""
    if left == right[: len(left)]:
        return len(left)
    return next(at for at, (a, b) in enumerate(zip(left, [*right, -1], strict=False)) if a != b)


def _mask(side: Side, ids: dict[str, list[int]]) -> list[bool]:
    tokens = ids[side.text]
    mask = [False] * len(tokens)
    for start, end in side.spans:
        first, last = _common(ids[start], tokens), _common(ids[end], tokens)
        mask[first:last] = [True] * (last - first)
    mask[:1] = [False]
    return mask


def _fit(example: Example, tokenizer: PreTrainedTokenizerBase, method: Hyperparameters) -> Example:
    """The example cut to `max_length`; raises `Reject` if nothing is left to learn from."""
    _refuse_equal(example, method)
    longest = max(len(example.chosen), len(example.rejected or ()))
    overlong = len(example.prefix) >= method.max_length
    if overlong and method.overlong is Overlong.TRUNCATE_PROMPT:
        room = method.max_length - min(longest, method.max_length // 2)
        example = _cut_prefix(example, room, tokenizer.bos_token_id)
    example = _cut_tails(example, method.max_length - len(example.prefix), keep_end=method.scores)
    masks = [example.chosen_mask] + [example.rejected_mask] * (example.rejected is not None)
    if not all(any(mask) for mask in masks):
        raise Reject(
            "prompt_too_long", "The prompt leaves no room for an answer within max_length."
        )
    if example.chosen == example.rejected or _trains_the_same(example, method):
        raise Reject("identical_after_truncation", "The answers differ only past max_length.")
    return example


def _refuse_equal(example: Example, method: Hyperparameters) -> None:
    """Raise `Reject` if both sides train the same tokens."""
    if example.chosen == example.rejected:
        raise Reject("identical", "Both answers have the same tokens.")
    if _trains_the_same(example, method):
        raise Reject("same_trained_turns", SAME_TURNS[method.turns])


def _trains_the_same(example: Example, method: Hyperparameters) -> bool:
    """Whether the trained tokens of both answers are the same, which teaches no preference."""
    if example.rejected is None or not isinstance(method, Preference) or method.scores:
        return False  # a score judges the whole conversation
    chosen = itertools.compress(example.chosen, example.chosen_mask)
    return [*chosen] == [*itertools.compress(example.rejected, example.rejected_mask)]


def _cut_prefix(example: Example, room: int, bos: Any) -> Example:
    """Cut the prompt from the left to `room` tokens; a BOS stays, because the model expects it
    first.
    """
    head = 1 if example.prefix[0] == bos else 0
    cut = len(example.prefix) - room + head
    prefix = example.prefix[:head] + example.prefix[cut:]
    mask = [False] * head + example.prefix_mask[cut:]
    mask[:1] = [False]
    return replace(example, prefix=prefix, prefix_mask=mask, truncated=True)


def _cut_tails(example: Example, room: int, *, keep_end: bool) -> Example:
    """The answers cut to `room` tokens each; with `keep_end` the last of them is still the token
    that ended the answer: a score is read there, and a cut answer must not be told by its end.
    """
    room = max(room, 0)
    rejected = example.rejected
    if max(len(example.chosen), len(rejected or ())) <= room:
        return example

    def cut(values: list[Any]) -> list[Any]:
        if keep_end and 0 < room < len(values):
            return [*values[: room - 1], values[-1]]
        return values[:room]

    return replace(
        example,
        chosen=cut(example.chosen),
        rejected=None if rejected is None else cut(rejected),
        chosen_mask=cut(example.chosen_mask),
        rejected_mask=cut(example.rejected_mask),
        truncated=True,
    )
