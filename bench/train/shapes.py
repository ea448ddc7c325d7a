"""Models for training on a GPU: known shapes with random weights.

`python -m bench.train.shapes NAME TOKENIZER_DIR OUT_DIR [small]`. Speed and memory don't depend on
the values of the weights. The tokenizer is the demo model's: its ids are a part of the vocabulary.
Knows neither engine.
"""

import random
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

LLAMA: dict[str, Any] = {
    "vocab_size": 128_256, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 8192, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5,
}  # fmt: skip


# The demo's tokenizer has 49,152 ids.
SMALL: dict[str, Any] = {
    "vocab_size": 49_152, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A model, its tuning, and the step sizes of both engines.

    `token_budget` is for our engine, `peer_pairs` for the peer: each sets a forward pass that keeps
    the device busy and fits into 80 GB of memory.
    """

    tuning: str
    config: dict[str, Any]
    pairs_a_step: int
    steps: int  # timed steps
    token_budget: int
    peer_pairs: int
    warmup: int = 3  # steps until everything is compiled

    def small(self) -> "Shape":
        """The same kind of model with few weights, and few steps: a CPU trains it in seconds."""
        return replace(
            self, config=self.config | SMALL, pairs_a_step=4, steps=2, token_budget=1024,
            peer_pairs=2, warmup=1,
        )  # fmt: skip


SHAPES = {
    # Llama 3.2 1B and Llama 3.1 8B: arXiv 2407.21783 and their model cards.
    "llama-1b": Shape(
        "full",
        LLAMA | {
            "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
            "tie_word_embeddings": True,
        },
        pairs_a_step=32, steps=8, token_budget=8192, peer_pairs=4,
    ),
    "llama-8b": Shape(
        "lora",
        LLAMA | {
            "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
            "tie_word_embeddings": False,
        },
        pairs_a_step=16, steps=6, token_budget=4096, peer_pairs=2,
    ),
}  # fmt: skip


def make(shape: Shape, tokenizer_of: Path, folder: Path) -> None:
    """Write the model's folder in bf16, unless it exists."""
    if folder.is_dir():
        return
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = LlamaConfig(**shape.config, **ends)
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    temporary.rename(folder)


def draw(pairs: Path, count: int, target: Path) -> None:
    """Write `count` of a file's rows, drawn with replacement and a fixed seed."""
    lines = pairs.read_text().splitlines(keepends=True)
    target.write_text("".join(random.Random(0).choices(lines, k=count)))


if __name__ == "__main__":
    shape = SHAPES[sys.argv[1]]
    make(shape.small() if "small" in sys.argv[4:] else shape, Path(sys.argv[2]), Path(sys.argv[3]))
