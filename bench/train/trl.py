"""Train a `Work` with TRL's ORPOTrainer: `python -m bench.train.trl WORK.json tuned|default`.

`default` uses the default configuration on this device. `tuned` uses bf16, no gradient
checkpointing, a fused optimizer, and the pairs per forward pass that `Work` sets. Trained weights
are fp32, and autocast computes in bf16: fp32 is the default of TRL's `ModelConfig.dtype`, and in
bf16 updates of 8e-6 would be rounded away. A frozen base is bf16 for `tuned`. Attention uses
flash-attn if it is installed, else SDPA. Prints one JSON line.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ |= {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}

import torch
from datasets import Dataset  # pyright: ignore[reportMissingImports]
from datasets.fingerprint import Hasher  # pyright: ignore[reportMissingImports]
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.utils.import_utils import is_flash_attn_2_available
from trl.experimental.orpo import (  # pyright: ignore[reportMissingImports]
    ORPOConfig,
    ORPOTrainer,
)

from bench.train.work import Work

# Datasets names cache entries by a hash of pickled tables, and this Arrow refuses to pickle them.
# Nothing is cached here, so any name is fine.
Hasher.hash = staticmethod(lambda _: uuid4().hex)


class Clock(TrainerCallback):
    """Seconds and loss of every optimizer step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.logs: list[dict[str, float]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        self.logs.append(logs)


class InOrder(ORPOTrainer):
    """Trains on the pairs in the order of the file."""

    def _get_train_sampler(self, *_: Any, **__: Any) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def options(work: Work, kind: str) -> dict[str, Any]:
    cpu = not torch.cuda.is_available()
    if kind == "default":  # TRL defaults to bf16; a CPU refuses it or is slower: fp32
        each = {"per_device_train_batch_size": work.pairs_a_step}
        return {**each, "use_cpu": cpu, "bf16": not cpu}
    return {
        "per_device_train_batch_size": work.peer_pairs,
        "gradient_accumulation_steps": work.pairs_a_step // work.peer_pairs,
        "use_cpu": cpu,
        "bf16": True,
        "gradient_checkpointing": False,
        "optim": "adamw_torch_fused",
    }


def written(tokenizer: Any, row: dict[str, Any]) -> dict[str, str]:
    """Render a pair by the chat template; each answer ends with its end token.

    Templates write a line break after the end token. TRL then doesn't find the end token in last
    place and adds a second one. We don't train these two tokens, and no engine samples them.
    """
    write, end = tokenizer.apply_chat_template, tokenizer.eos_token
    prompt = write(row["prompt"], tokenize=False, add_generation_prompt=True)
    answers = {
        name: write(row["prompt"] + row[name], tokenize=False).removeprefix(prompt)
        for name in ("chosen", "rejected")
    }
    return {"prompt": prompt} | {
        name: answer[: answer.rindex(end) + len(end)] for name, answer in answers.items()
    }


def main(path: Path, kind: str) -> None:
    work = Work.read(path)
    tokenizer = AutoTokenizer.from_pretrained(work.model)
    cuda = torch.cuda.is_available()
    attention = "flash_attention_2" if cuda and is_flash_attn_2_available() else "sdpa"
    frozen = torch.bfloat16 if cuda or kind == "tuned" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        work.model,
        dtype=frozen if work.tuning == "lora" else torch.float32,
        attn_implementation=attention,
    )
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=work.rank, lora_alpha=work.alpha, target_modules="all-linear"
    )
    rows = [written(tokenizer, row) for row in work.rows()]
    with tempfile.TemporaryDirectory() as folder:
        config = ORPOConfig(
            output_dir=folder,
            beta=work.lambda_,
            learning_rate=work.learning_rate,
            lr_scheduler_type="constant",
            max_steps=work.steps,
            max_length=work.max_length,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            **options(work, kind),
        )
        clock = Clock()
        trainer = InOrder(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora if work.tuning == "lora" else None,
            callbacks=[clock],
        )
        trainer.train()
    peak = (
        torch.cuda.max_memory_allocated()
        if torch.cuda.is_available()
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    losses = [float(log["loss"]) for log in clock.logs if "loss" in log]
    nll = [float(log["nll_loss"]) for log in clock.logs if "nll_loss" in log]
    print(
        json.dumps(
            {
                "seconds": clock.seconds[work.warmup :],
                "loss": losses,
                "nll": nll,
                "peak_bytes": peak,
                "attention": attention,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
