"""Pairs of messages to token ids: a shared prefix, two tails, and which tokens are trained.

Knows chat templates and lengths; knows nothing of models, packing or devices. Every position is
found by tokenising a whole rendering and comparing token prefixes. Labels never depend on token
values (pad may equal eos) or on two separately tokenised texts.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from orpo.base.files import blaming
from orpo.contract.hyperparameters import Hyperparameters, Overlong, Turns
from orpo.contract.methods import Preference
from orpo.rows.formats import Message, Pair, Reject
from orpo.tokens.embedded import check_ids
from orpo.tokens.example import Example
from orpo.tokens.special_text import admitted, special_strings, special_tokens

PAIRS_PER_CHUNK = 256
STAND_IN = "(here stands the answer)"

# For base models without a template. A turn ends with the model's own end-of-text token if it has
# one, because engines stop at that token.
DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{{ eos_token if eos_token else '<|im_end|>' }}{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local model folder, with the default template if it has none.

    Raises Failure(`bad_model`) where its files can't be used.
    """
    with blaming(f"The tokenizer in {path}"):
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    if not tokenizer.chat_template:
        tokenizer.chat_template = DEFAULT_TEMPLATE
    return tokenizer


def template_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """`default` if `load_tokenizer` set the default template, otherwise `model`."""
    return "default" if tokenizer.chat_template == DEFAULT_TEMPLATE else "model"


def render(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], add_generation_prompt: bool
) -> list[int]:
    """Token ids of a conversation, as an inference engine renders a chat request.

    The template writes the special tokens, so none are added: a second BOS would be wrong.
    """
    text = render_text(tokenizer, messages, add_generation_prompt)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def render_text(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], add_generation_prompt: bool
) -> str:
    """The conversation as text; raises `Reject("template")` where the template refuses it."""
    try:
        text = tokenizer.apply_chat_template(
            messages,  # pyright: ignore[reportArgumentType]  TypedDict against dict[str, str]
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
    except (
        TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError,
        RecursionError,
    ) as error:  # fmt: skip
        raise Reject("template", f"The model's chat template refuses this row: {error}.") from error
    return str(text)


def tokenize_pairs(
    pairs: Iterable[Pair],
    tokenizer: PreTrainedTokenizerBase,
    method: Hyperparameters,
    n_embedded: int | None = None,
) -> tuple[list[Example], Counter[str], dict[str, Any]]:
    """Tokenise pairs under the limits of `method`, for a model with `n_embedded` embeddings (None:
    as many as the tokenizer needs).

    Returns the examples, the number dropped by reason (`prompt_too_long`, `identical`,
    `identical_after_truncation`, `no_rejected`, `special_token`, `template`, `unknown_token`) and
    statistics: `special_token` and `unknown_token` (the first such row's line and what is wrong
    with it, or None), `template` (`default`|`model`), `tokens`, `tokens_unshared`, `truncated`
    (examples), `border_merges` (sequences whose prompt tokens differ from an engine's, because the
    answer's first characters merged into the prompt's last token).
    """
    examples: list[Example] = []
    dropped: Counter[str] = Counter()
    border_merges = 0
    refused: dict[str, dict[str, Any]] = {}
    for chunk in _chunks(pairs, PAIRS_PER_CHUNK):
        plain = list(_plain(chunk, tokenizer, method, dropped, refused))
        drafts = list(_drafts(plain, tokenizer, method, dropped))
        ids = _encode(tokenizer, (text for draft in drafts for text in draft.texts()))
        for draft in drafts:
            border_merges += draft.border_merges(ids)
            try:
                example = check_ids(draft.example(ids), tokenizer, n_embedded)
                examples.append(_fit(example, tokenizer, method))
            except Reject as reject:
                _drop(draft.line, reject, dropped, refused)
    stats = {
        "special_token": refused.get("special_token"),
        "unknown_token": refused.get("unknown_token"),
        "template": template_name(tokenizer),
        "tokens": sum(example.n_tokens for example in examples),
        "tokens_unshared": sum(example.n_tokens_unshared for example in examples),
        "truncated": sum(example.truncated for example in examples),
        "border_merges": border_merges,
    }
    return examples, dropped, stats


def _plain(
    pairs: list[Pair],
    tokenizer: PreTrainedTokenizerBase,
    method: Hyperparameters,
    dropped: Counter[str],
    refused: dict[str, dict[str, Any]],
) -> Iterator[Pair]:
    """The pairs without special strings in their text."""
    strings = special_strings(tokenizer)
    for pair in pairs:
        try:
            yield admitted(pair, tokenizer, strings, method.special_tokens)
        except Reject as reject:
            _drop(pair.line, reject, dropped, refused)


def _drop(
    line: int, reject: Reject, dropped: Counter[str], refused: dict[str, dict[str, Any]]
) -> None:
    """Count a dropped row, and note the first of each reason."""
    dropped[reject.code] += 1
    refused.setdefault(reject.code, {"line": line, "message": reject.message})


def _chunks(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    iterator = iter(pairs)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> dict[str, list[int]]:
    unique = list(dict.fromkeys(texts))
    if not unique:  # transformers fails on an empty batch
        return {}
    return dict(zip(unique, tokenizer(unique, add_special_tokens=False)["input_ids"], strict=True))


# --- rendering: texts and where the trained spans begin and end -----------------------------------


@dataclass(frozen=True)
class _Side:
    """A rendered sequence. A trained span is given by two of its prefixes: up to its start, up to
    its end.
    """

    text: str
    spans: list[tuple[str, str]]


@dataclass(frozen=True)
class _Draft:
    """A pair rendered but not yet tokenised."""

    line: int
    prompt: str
    chosen: _Side
    rejected: _Side | None

    def sides(self) -> list[_Side]:
        return [self.chosen] if self.rejected is None else [self.chosen, self.rejected]

    def texts(self) -> Iterator[str]:
        yield self.prompt
        for side in self.sides():
            yield side.text
            for span in side.spans:
                yield from span

    def border_merges(self, ids: dict[str, list[int]]) -> int:
        prompt = ids[self.prompt]
        return sum(_common(prompt, ids[side.text]) < len(prompt) for side in self.sides())

    def example(self, ids: dict[str, list[int]]) -> Example:
        """The pair in tokens, untruncated; its prefix ends at or before the answers."""
        prompt, chosen = ids[self.prompt], ids[self.chosen.text]
        chosen_mask = _mask(self.chosen, ids)
        end = _common(prompt, chosen)
        rejected, rejected_mask = None, []
        if self.rejected is not None:
            rejected, rejected_mask = ids[self.rejected.text], _mask(self.rejected, ids)
            end = min(end, _common(prompt, rejected))
        return Example(
            line=self.line,
            prefix=chosen[:end],
            chosen=chosen[end:],
            rejected=None if rejected is None else rejected[end:],
            prefix_mask=chosen_mask[:end],
            chosen_mask=chosen_mask[end:],
            rejected_mask=rejected_mask[end:],
            truncated=False,
        )


def _drafts(
    pairs: list[Pair],
    tokenizer: PreTrainedTokenizerBase,
    method: Hyperparameters,
    dropped: Counter[str],
) -> Iterator[_Draft]:
    end_of_turn = _end_of_turn(tokenizer)
    for pair in pairs:
        if pair.rejected is None and isinstance(method, Preference):
            dropped["no_rejected"] += 1
            continue
        try:
            prompt = render_text(tokenizer, pair.prompt, add_generation_prompt=True)
            sides = [
                _side(tokenizer, prompt, pair.prompt, answer, method.turns, end_of_turn)
                for answer in (pair.chosen, pair.rejected)
                if answer is not None
            ]
            yield _Draft(pair.line, prompt, sides[0], sides[1] if len(sides) > 1 else None)
        except Reject as reject:
            dropped[reject.code] += 1


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """Matches the special tokens that a template may end a turn with."""
    special = special_tokens(tokenizer)
    return re.compile("|".join(map(re.escape, sorted(special)))) if special else None


def _side(
    tokenizer: PreTrainedTokenizerBase,
    prompt_text: str,
    prompt: list[Message],
    answer: list[Message],
    turns: Turns,
    end_of_turn: re.Pattern[str] | None,
) -> _Side:
    messages = prompt + answer
    text = render_text(tokenizer, messages, add_generation_prompt=False)
    if not text.startswith(prompt_text):
        text = prompt_text + _after_prompt(tokenizer, text, prompt)
    text = _end_at_turn(text, end_of_turn, tokenizer.eos_token)
    trained = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
    if turns is Turns.LAST:
        trained = trained[-1:]
    spans = []
    for at in trained:
        start = prompt_text
        if at != len(prompt):
            start = render_text(tokenizer, messages[:at], add_generation_prompt=True)
        if not text.startswith(start):
            continue  # the template rewrites earlier turns: this rendering never occurred
        last = at == len(messages) - 1
        end = text if last else _turn_end(text, len(start), messages[at]["content"], end_of_turn)
        spans.append((start, end))
    if not spans:
        raise Reject("template", "The chat template rewrites the turn before the last answer.")
    return _Side(text, spans)


def _after_prompt(tokenizer: PreTrainedTokenizerBase, text: str, prompt: list[Message]) -> str:
    """The answer and its end, for a template whose generation prompt does not occur in its history.

    (Reasoning templates open a thought in the generation prompt and drop it from past turns.) A
    placeholder shows where the template puts the answer; the answer's own text may occur elsewhere.
    """
    stand_in = [*prompt, Message(role="assistant", content=STAND_IN)]
    head = render_text(tokenizer, stand_in, add_generation_prompt=False).partition(STAND_IN)[0]
    if not text.startswith(head):
        raise Reject("template", "The chat template renders the prompt differently each time.")
    return text[len(head) :]


def _end_at_turn(text: str, end_of_turn: re.Pattern[str] | None, eos: Any) -> str:
    """`text` up to and including the token that ends its last turn: the model learns to stop with
    it.
    """
    ends = [match.end() for match in end_of_turn.finditer(text)] if end_of_turn else []
    if ends and not text[ends[-1] :].strip():
        return text[: ends[-1]]
    return text.rstrip() + (eos if isinstance(eos, str) else "")


def _turn_end(text: str, start: int, content: str, end_of_turn: re.Pattern[str] | None) -> str:
    content = content.strip()
    at = text.find(content, start)
    at = start if at < 0 else at + len(content)
    match = end_of_turn.search(text, at) if end_of_turn else None
    return text[: match.end() if match else at]


# --- tokens: masks and lengths --------------------------------------------------------------------


def _common(left: list[int], right: list[int]) -> int:
    """Length of the longest common prefix."""
    if left == right[: len(left)]:
        return len(left)
    return next(at for at, (a, b) in enumerate(zip(left, [*right, -1], strict=False)) if a != b)


def _mask(side: _Side, ids: dict[str, list[int]]) -> list[bool]:
    tokens = ids[side.text]
    mask = [False] * len(tokens)
    for start, end in side.spans:
        first, last = _common(ids[start], tokens), _common(ids[end], tokens)
        mask[first:last] = [True] * (last - first)
    mask[:1] = [False]
    return mask


def _fit(example: Example, tokenizer: PreTrainedTokenizerBase, method: Hyperparameters) -> Example:
    """The example cut to `max_length`; raises `Reject` if nothing is left to learn from."""
    if example.chosen == example.rejected:
        raise Reject("identical", "Both answers have the same tokens.")
    longest = max(len(example.chosen), len(example.rejected or ()))
    overlong = len(example.prefix) >= method.max_length
    if overlong and method.overlong is Overlong.TRUNCATE_PROMPT:
        room = method.max_length - min(longest, method.max_length // 2)
        example = _cut_prefix(example, room, tokenizer.bos_token_id)
    example = _cut_tails(example, method.max_length - len(example.prefix))
    masks = [example.chosen_mask] + [example.rejected_mask] * (example.rejected is not None)
    if not all(any(mask) for mask in masks):
        raise Reject("prompt_too_long", "The prompt leaves no room for an answer.")
    if example.chosen == example.rejected:
        raise Reject("identical_after_truncation", "The answers differ only past max_length.")
    return example


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


def _cut_tails(example: Example, room: int) -> Example:
    room = max(room, 0)
    rejected = example.rejected
    if max(len(example.chosen), len(rejected or ())) <= room:
        return example
    return replace(
        example,
        chosen=example.chosen[:room],
        rejected=None if rejected is None else rejected[:room],
        chosen_mask=example.chosen_mask[:room],
        rejected_mask=example.rejected_mask[:room],
        truncated=True,
    )
