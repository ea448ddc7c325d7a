"""A tokenizer as metadata of a GGUF file: tokens, merges, special ids and the chat template.

Byte-level BPE only. Knows llama.cpp's names for the pre-tokenizers, which split a text before the
merges (src/llama-vocab.cpp); knows nothing of weights.
"""

import json
from typing import Any

from gguf import GGUFWriter, TokenType
from transformers import PreTrainedTokenizerBase

from orpo.contract.failures import Code, Failure
from orpo.rows.formats import Message
from orpo.tokens.templates import render

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BY_CASE = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# How a text is split into words, and llama.cpp's name for it.
SPLITS = {_WORDS % "": "qwen2", _WORDS % "{1,3}": "llama-bpe", _BY_CASE: "tekken"}


def add_vocabulary(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, size: int) -> None:
    """Write `tokenizer` to `writer`; missing ids up to `size` get names and are marked as unused.

    Raises Failure(`not_exportable`) as `pre_tokenizer` does.
    """
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(tokenizer))
    tokens, types = _tokens(tokenizer, size)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = _spelled(tokenizer)["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    for add, token_id in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if isinstance(token_id, int):
            add(token_id)
    writer.add_add_bos_token(_begins_with_bos(tokenizer))
    writer.add_chat_template(tokenizer.get_chat_template())


def pre_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """llama.cpp's name for the pre-tokenizer of `tokenizer`; raises Failure(`not_exportable`)."""
    spelled = _spelled(tokenizer)
    name = _name(spelled["pre_tokenizer"] or {}) if _byte_level(spelled) else None
    if name is None:
        raise Failure(
            Code.NOT_EXPORTABLE,
            "This model's tokenizer can't be written as GGUF here: only byte-level BPE that cuts "
            "its text as GPT-2, SmolLM, Llama 3, Qwen2 or Tekken do.",
            "Take the merged weights, as safetensors.",
        )
    return name


def _spelled(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The content of tokenizer.json, or an empty dict if there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return json.loads(backend.to_str()) if backend else {"model": {"type": None}}


def _byte_level(spelled: dict[str, Any]) -> bool:
    """Accepts NFC, which Qwen applies first: llama.cpp and its converter leave it out too."""
    model, normalizer = spelled["model"], spelled.get("normalizer")
    return (
        model["type"] == "BPE"
        and bool(model["merges"])
        and not model["byte_fallback"]
        and not model["continuing_subword_prefix"]
        and not model["end_of_word_suffix"]
        and (normalizer is None or normalizer["type"] == "NFC")
    )


def _name(cutting: dict[str, Any]) -> str | None:
    match cutting.get("pretokenizers", [cutting]):
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return "gpt-2"
        case [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        ]:
            return "smollm"
        case [
            {
                "type": "Split",
                "pattern": {"Regex": words},
                "behavior": "Isolated",
                "invert": False,
            },
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return SPLITS.get(words)
    return None


def _tokens(tokenizer: PreTrainedTokenizerBase, size: int) -> tuple[list[str], list[TokenType]]:
    by_id = {token_id: token for token, token_id in tokenizer.get_vocab().items()}
    added = getattr(tokenizer, "added_tokens_decoder", {})
    tokens = [by_id.get(token_id, f"[PAD{token_id}]") for token_id in range(size)]
    types = [TokenType.NORMAL if at in by_id else TokenType.UNUSED for at in range(size)]
    for token_id, token in added.items():
        if token_id >= size:  # the model has no embedding of it
            continue
        types[token_id] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
    return tokens, types


def _begins_with_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether llama.cpp should begin a text with BOS: only if the training prompts did.

    If the template writes BOS too, llama.cpp removes one of the two.
    """
    plain = tokenizer("a")["input_ids"]
    chat = render(tokenizer, [Message(role="user", content="a")], add_generation_prompt=True)
    return plain[:1] == chat[:1] == [tokenizer.bos_token_id]
