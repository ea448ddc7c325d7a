"""`make_thinker FOLDER`: a tiny base with a template in the manner of Qwen3's, which calls a tool.

It knows two conversations by heart: an answer that calls a tool, and one with a thought. It runs as
a program, since the tests of the stack import no torch.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.orpo.tiny_run import write_base
from tests.qwen3_template import QWEN3

STEPS, RATE = 150, 5e-3
# Per token, in nats: below it, greedy decoding gives the text.
KNOWN = 0.03


def tokens(tokenizer: Any, messages: list, tools: list | None) -> tuple[torch.Tensor, int]:
    """The ids of a conversation up to the end of its last turn, and where the answer begins."""
    asked = tokenizer.apply_chat_template(
        messages[:-1], tools=tools, tokenize=False, add_generation_prompt=True
    )
    text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False).rstrip("\n")
    assert text.startswith(asked)
    ids, start = (tokenizer(each, add_special_tokens=False)["input_ids"] for each in (text, asked))
    return torch.tensor([ids]), len(start)


def main(folder: Path, conversations: list[dict[str, Any]]) -> None:
    """Write the base; each conversation has `messages` and `tools`."""
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2}
    write_base(folder, template=QWEN3, **sizes, tie_word_embeddings=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts = [tokens(tokenizer, each["messages"], each["tools"]) for each in conversations]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    losses: list[torch.Tensor] = []
    for _ in range(STEPS):
        losses = [
            cross_entropy(model(ids).logits[0, start - 1 : -1], ids[0, start:])
            for ids, start in texts
        ]
        if max(losses).item() < KNOWN:
            break
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    else:
        raise SystemExit(f"It did not learn the texts: {losses}")
    model.save_pretrained(folder)


if __name__ == "__main__":
    torch.set_num_threads(1)  # more do not help with tensors this small
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
