"""`make_adapter BASE_DIR CHECKPOINT_DIR`: a checkpoint with a random adapter, as a run leaves it.

It runs as a program, since the platform's tests import no torch.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from orpo.contract import manifest
from orpo.contract.hyperparameters import Precision
from orpo.contract.rundir import PROBE
from orpo.model.policy import load_base
from orpo.rows.formats import Message, Pair
from orpo.run import probe
from orpo.tokens.templates import load_tokenizer

# Changes log-probs by a few tenths of a nat; the answers still make sense.
B_STD = 0.01


def main(base: Path, folder: Path) -> None:
    torch.manual_seed(0)
    bare = load_base(base, Precision.BF16)
    question = [Message(role="user", content="Why is the sky blue?")]
    reply = [Message(role="assistant", content="The sky is blue because air scatters blue light.")]
    prompts = probe.choose([Pair(1, question, reply, None)], load_tokenizer(base), 512)
    prompts = probe.with_base(bare, prompts, Precision.BF16)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    policy = get_peft_model(bare, config)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=B_STD)
    partial = folder.with_suffix(".tmp")
    policy.save_pretrained(str(partial / "adapter"))
    load_tokenizer(base).save_pretrained(str(partial / "adapter"))
    digest = manifest.weights_digest(manifest.inventory(partial), "adapter/")
    hostile = probe.hostile(load_tokenizer(base))
    scored = probe.report(policy, prompts, Precision.BF16, digest, hostile)
    (partial / PROBE).write_text(json.dumps(scored))
    files = manifest.inventory(partial)
    manifest.commit(partial, manifest.Manifest(2, 1, "", digest, True, files), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
