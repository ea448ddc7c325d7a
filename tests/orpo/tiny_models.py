"""Tiny random models of several families, a tokenizer trained here, and random examples."""

import random
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    HyperCLOVAXConfig,
    HyperCLOVAXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from orpo.tokens.tokenize import Example

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCAB = 97

torch.set_num_threads(1)  # a second thread doesn't help with tensors this small

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2, "intermediate_size": 48}


def llama(**settings: Any) -> PreTrainedModel:
    """Grouped queries and untied embeddings by default."""
    return _made(LlamaForCausalLM, LlamaConfig(**{**GROUPED, **settings}))


def qwen2(**settings: Any) -> PreTrainedModel:
    """Biases in the projections of queries, keys and values."""
    return _made(Qwen2ForCausalLM, Qwen2Config(**{**GROUPED, **settings}))


def qwen3(**settings: Any) -> PreTrainedModel:
    """Norms of queries and keys, and heads wider than their share of the hidden size."""
    return _made(Qwen3ForCausalLM, Qwen3Config(**{**GROUPED, "head_dim": 16, **settings}))


def gpt2() -> PreTrainedModel:
    """Absolute positions, biases, tied embeddings, transposed linear layers."""
    config = GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=256)
    return _made(GPT2LMHeadModel, config)


def mixtral(**settings: Any) -> PreTrainedModel:
    """A mixture of experts, by default without an auxiliary loss."""
    routing = {"num_local_experts": 4, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.0}
    return _made(MixtralForCausalLM, MixtralConfig(**{**GROUPED, **routing, **settings}))


def mistral(**settings: Any) -> PreTrainedModel:
    """A sliding window on every layer, shorter than most sequences."""
    config = MistralConfig(**{**GROUPED, "sliding_window": 5, **settings})
    return _made(MistralForCausalLM, config)


def gemma2() -> PreTrainedModel:
    """A window on every other layer, capped scores and logits, norm weights as offsets from one."""
    config = Gemma2Config(
        **GROUPED, head_dim=8, sliding_window=4, attn_logit_softcapping=2.0,
        final_logit_softcapping=1.5,
    )  # fmt: skip
    return _made(Gemma2ForCausalLM, config)


def opt() -> PreTrainedModel:
    """Absolute positions that begin at two.

    The gradient of its key biases is zero in theory. Rounding makes it nonzero, which must be small
    compared with other gradients; with larger weights it is not, even in transformers' own code.
    """
    config = OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32)
    return _made(OPTForCausalLM, config, scale=0.1)


def bloom(vocab_size: int = VOCAB) -> PreTrainedModel:
    """Biases by distance (ALiBi) instead of positions: its attention can't be replaced."""
    config = BloomConfig(vocab_size=vocab_size, hidden_size=32, n_layer=2, n_head=4)
    return _made(BloomForCausalLM, config)


def mamba(vocab_size: int = VOCAB) -> PreTrainedModel:
    """A recurrent state instead of attention."""
    config = MambaConfig(vocab_size=vocab_size, hidden_size=32, num_hidden_layers=2)
    return _made(MambaForCausalLM, config)


def hyperclovax(**settings: Any) -> PreTrainedModel:
    """Logits are multiplied by the factor by which other models divide: an unknown head."""
    config = HyperCLOVAXConfig(**{**GROUPED, "logits_scaling": 2.0, **settings})
    return _made(HyperCLOVAXForCausalLM, config)


def _made(kind: Any, config: Any, scale: float = 0.3) -> PreTrainedModel:
    torch.manual_seed(0)
    config._attn_implementation = "eager"
    model = kind(config)
    with torch.no_grad():  # initial weights give nearly flat logits and tiny gradients
        for name, weight in model.named_parameters():
            noise = torch.randn_like(weight) * (scale if weight.ndim > 1 else 0.1)
            weight.copy_(weight + noise if "norm" in name or "ln_" in name else noise)
    return model.eval()


@cache
def tokenizer(
    template: str | None = CHATML, eos: str | None = "<|im_end|>", bos: str | None = None
) -> Any:
    """Byte-level BPE with merges (so that borders can merge), trained on a few sentences."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = [
        "user assistant system what is the answer to this question\n\n\n\n the answer is yes"
    ] * 9
    backend.train_from_iterator(text, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=eos, pad_token=eos, bos_token=bos
    )
    made.chat_template = template
    return made


def example(rng: random.Random, line: int = 0, longest: int = 12) -> Example:
    """A random pair of random lengths, with an assistant turn inside its prompt."""

    def ids(least: int) -> list[int]:
        return [rng.randrange(VOCAB) for _ in range(rng.randint(least, longest))]

    prefix, chosen, rejected = ids(3), ids(1), ids(1)
    return Example(
        line=line,
        prefix=prefix,
        chosen=chosen,
        rejected=rejected,
        prefix_mask=[False, True] + [False] * (len(prefix) - 2),
        chosen_mask=[True] * len(chosen),
        rejected_mask=[True] * len(rejected),
        truncated=False,
    )


def examples(seed: int, n: int, longest: int = 12) -> list[Example]:
    """`n` random pairs."""
    rng = random.Random(seed)
    return [example(rng, line, longest) for line in range(n)]
