"""Log-probs of the prompts of a `probe.json` by a plain transformers forward pass."""

import json
from pathlib import Path
from typing import Any

import torch


def read(checkpoint: Path) -> list[dict[str, Any]]:
    return json.loads((checkpoint / "probe.json").read_text())["prompts"]


@torch.no_grad()
def logprobs(policy: torch.nn.Module, prompt: dict[str, Any]) -> list[float]:
    """Log-prob of each completion token, in nats."""
    ids, completion = prompt["prompt_token_ids"], prompt["completion_token_ids"]
    logits = policy(input_ids=torch.tensor([ids + completion])).logits
    logps = logits[0, len(ids) - 1 : -1].log_softmax(-1)
    return logps.gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()
