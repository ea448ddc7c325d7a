"""`python -m orpo.show DIR REQUEST`: the exact tokens of a pair for a base model, and which of them
are trained.

Loads the tokenizer, no weights. REQUEST is a JSON file with a pair in its normal form and the
settings of a method: `{"pair": {...}, "method": {...}}`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from orpo.contract.hyperparameters import Hyperparameters
from orpo.contract.methods import parse_method
from orpo.process.verbs import answer
from orpo.rows.formats import Pair
from orpo.tokens import embedded
from orpo.tokens.data import within_context
from orpo.tokens.templates import load_tokenizer, template_name
from orpo.tokens.tokenize import tokenize_pairs

BROKEN = "\ufffd"
SHOWN = 1_000  # tokens of a part
LONGEST_CHARACTER = 4  # bytes of UTF-8, so a character has at most that many tokens


def main(base: Path, request: Path) -> int:
    """Print what `shown` returns."""
    return answer(lambda: _main(base, json.loads(request.read_bytes())))


def _main(base: Path, request: dict[str, Any]) -> dict[str, Any]:
    pair = Pair.from_json(request["pair"])
    # Rows without a rejected answer are for supervised tuning.
    method = parse_method("orpo" if pair.rejected else "supervised", request["method"])
    method = within_context(method, base)
    return shown(pair, load_tokenizer(base), method, embedded.size(base))


def shown(
    pair: Pair,
    tokenizer: PreTrainedTokenizerBase,
    method: Hyperparameters,
    n_embedded: int | None = None,
) -> dict[str, Any]:
    """The tokens of a pair, as a run with this method would compute them, on a model with
    `n_embedded` embeddings (None: as many as the tokenizer needs).

    `dropped` is the reason if a run would leave the pair out, and `why` a sentence about it; there
    are no tokens then.
    `prefix` is shared by both answers; `rejected` is null where there is none. Each part has its
    numbers of tokens (`n_tokens`, `n_trained`), and its first thousand: the `id`, the `text`, and
    whether it is `trained`. The text of a character that has several tokens is that of its last
    one. `reasoning_stripped` says that the answers are without their thoughts,
    `history_thoughts_dropped` that the template leaves out earlier ones. `template` is `model`, or
    `default` if the base has none.
    """
    examples, dropped, stats = tokenize_pairs([pair], tokenizer, method, n_embedded)
    code = next(iter(dropped), None)
    found = {
        "line": pair.line,
        "template": template_name(tokenizer),
        "dropped": code,
        "why": stats["reasons"][code]["message"] if code else None,
        "truncated": False,
        "reasoning_stripped": bool(stats["reasoning_stripped"]),
        "history_thoughts_dropped": bool(stats["history_thoughts_dropped"]),
        **dict.fromkeys(("prefix", "chosen", "rejected")),
    }
    for example in examples:
        before: list[int] = []
        found["truncated"] = example.truncated
        found["prefix"] = _tokens(tokenizer, before, example.prefix, example.prefix_mask)
        before = example.prefix
        found["chosen"] = _tokens(tokenizer, before, example.chosen, example.chosen_mask)
        if example.rejected is not None:
            found["rejected"] = _tokens(tokenizer, before, example.rejected, example.rejected_mask)
    return found


def _tokens(
    tokenizer: PreTrainedTokenizerBase, before: Sequence[int], ids: list[int], mask: list[bool]
) -> dict[str, Any]:
    texts = _texts(tokenizer, before, ids[:SHOWN])
    tokens = [
        {"id": token, "text": text, "trained": trained}
        for token, text, trained in zip(ids, texts, mask, strict=False)
    ]
    return {"n_tokens": len(ids), "n_trained": sum(mask), "tokens": tokens}


def _texts(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], ids: list[int]) -> list[str]:
    """What each token adds to the text after `before`."""
    texts: list[str] = []
    context, pending = list(before[-1:]), []
    for token in ids:
        pending.append(token)
        known, text = (_text(tokenizer, some) for some in (context, [*context, *pending]))
        added = text.removeprefix(known)
        if added.endswith(BROKEN) and len(pending) < LONGEST_CHARACTER:
            texts.append("")
            continue
        texts.append(added)
        context, pending = pending[-1:], []
    return texts


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return str(text)
