"""Tokens that a tokenizer knows and its model has no embedding of.

Some tokenizers hold added tokens past the last row of the embeddings, for parts that the model was
published without (Gemma's `<image_soft_token>`). Texts rarely hold them. Knows no model weights.
"""

from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from orpo.base.files import blaming
from orpo.rows.formats import Reject
from orpo.tokens.example import Example


def text_config(model_path: Path) -> PreTrainedConfig:
    """The configuration of a base model's text part; raises Failure(`bad_model`)."""
    with blaming(f"config.json in {model_path}"):
        config = AutoConfig.from_pretrained(
            model_path, local_files_only=True, trust_remote_code=False
        )
        return config.get_text_config()


def size(model_path: Path) -> int | None:
    """The number of a base model's embeddings, if its configuration states it."""
    return getattr(text_config(model_path), "vocab_size", None)


def without_embedding(tokenizer: PreTrainedTokenizerBase, n_embedded: int) -> dict[int, str]:
    """The tokenizer's tokens at and past the id `n_embedded`."""
    vocabulary = tokenizer.get_vocab().items()
    return {token_id: token for token, token_id in vocabulary if token_id >= n_embedded}


def check_ids(
    example: Example, tokenizer: PreTrainedTokenizerBase, n_embedded: int | None
) -> Example:
    """The example; raises `Reject("unknown_token")` if it holds a token without an embedding.

    Call it before the example is cut: other code renders the same row again, whole.
    """
    parts = (example.prefix, example.chosen, example.rejected or ())
    highest = max((max(part, default=0) for part in parts), default=0)
    if n_embedded is not None and highest >= n_embedded:
        raise Reject(
            "unknown_token",
            f"The text becomes the token `{tokenizer.convert_ids_to_tokens(highest)}` ({highest}), "
            f"and the model has embeddings of the tokens 0 to {n_embedded - 1} only.",
        )
    return example
