"""Checks that a GGUF file holds the trained model: another reader renders and scores the probe.

The reader is that of transformers. It ignores some keys of a file; they are read from the file here
and set on its result. Knows nothing of how the file was written.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.integrations.gguf.reader import (
    GgufHeader,
    load_gguf_state_dict,
    read_gguf_metadata,
)

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Precision
from orpo.model.policy import prepare
from orpo.run import probe
from orpo.tokens.templates import render


@dataclass(frozen=True)
class Parity:
    """Differences of log-probs in nats: of a single token, and over all compared tokens."""

    token_ids_equal: bool
    max_logprob_diff: float
    mean_logprob_diff: float
    tokens_compared: int
    tolerance: float


def check(
    file: Path,
    tokenizer: PreTrainedTokenizerBase,
    scored: Sequence[dict[str, Any]],
    tolerance: float,
) -> Parity:
    """Compare the file with `tokenizer` and with `scored`, the prompts of a probe.

    Raises Failure(`no_parity`) where token ids differ, or a log-prob by more than `tolerance`.
    """
    read, model = read_tokenizer(file), prepare(read_model(file))
    prompts = [probe.prompt_of(prompt) for prompt in scored]
    found = [probe.score(model, prompt, Precision.FP32) for prompt in prompts]
    diffs = [
        abs(a - b)
        for mine, prompt in zip(found, scored, strict=True)
        for a, b in zip(mine, prompt["logprobs"], strict=True)
    ]
    parity = Parity(
        token_ids_equal=all(_same_ids(read, tokenizer, prompt) for prompt in prompts),
        max_logprob_diff=round(max(diffs), 6),
        mean_logprob_diff=round(sum(diffs) / len(diffs), 6),
        tokens_compared=len(diffs),
        tolerance=tolerance,
    )
    # Not `any(diff > tolerance)`: a comparison with NaN is always False.
    if not (parity.token_ids_equal and all(diff <= tolerance for diff in diffs)):
        raise Failure(
            Code.NO_PARITY,
            f"The GGUF file does not answer as the model was trained: {asdict(parity)}.",
            "Take the merged weights, as safetensors, and report this model's architecture.",
        )
    return parity


def _same_ids(
    read: PreTrainedTokenizerBase, tokenizer: PreTrainedTokenizerBase, prompt: probe.Prompt
) -> bool:
    """Check that the file's tokenizer renders the prompt and tokenises the answer as the trainer
    does.
    """
    answer = str(tokenizer.decode(prompt.completion_token_ids))
    ids = [one(answer, add_special_tokens=False)["input_ids"] for one in (read, tokenizer)]
    rendered = render(read, prompt.messages, True, prompt.rendered_at, prompt.tools)
    return rendered == prompt.prompt_token_ids and ids[0] == ids[1]


def read_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that a GGUF file describes, with its chat template."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(file.parent, gguf_file=file.name)
    # transformers splits texts of these files as GPT-2 does: runs of digits would stay whole.
    if read_gguf_metadata(str(file))[0]["tokenizer.ggml.pre"] == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    return tokenizer


def read_model(file: Path) -> PreTrainedModel:
    """The model that a GGUF file describes, in fp32."""
    metadata, tensors = read_gguf_metadata(str(file))
    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    # transformers reads the head width for llama only, and never reads the RoPE frequencies.
    config.head_dim = metadata[f"{metadata['general.architecture']}.attention.key_length"]
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        config=config,
        gguf_file=file.name,
        quantization_config=GgufConfig(gguf_file=file.name, dequantize=True),
        dtype=torch.float32,
    )
    if "rope_freqs.weight" in tensors:
        factors = load_gguf_state_dict(GgufHeader.from_file(str(file)))["rope_freqs.weight"]
        model.base_model.get_buffer("rotary_emb.inv_freq").div_(factors[:])
    return model
