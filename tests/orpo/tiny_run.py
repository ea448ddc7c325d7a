"""Small runs for tests: a random Llama of 24,000 weights, generated pairs, forked processes.

A forked child already has torch loaded, which saves the 5 to 12 s of a fresh interpreter. Ranks are
forked from a server that has loaded torch and done nothing else: a process that has run other tests
has threads, and a fork may copy a lock that one of them holds.
"""

import faulthandler
import json
import multiprocessing
import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import tqdm.auto
import tqdm.std
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from orpo.contract.methods import METHODS, parse_method
from orpo.contract.numbers import Phase, share
from orpo.contract.on_policy import OnPolicy
from orpo.contract.spec import RunSpec, write_spec
from orpo.run import train
from tests.orpo.reference import worst_gradient_error

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# The methods that learn from the rows' own answers; test_ppo.py is about the others.
OF_PAIRS = sorted(kind for kind, method in METHODS.items() if not issubclass(method, OnPolicy))
WORDS = ["salt", "river", "lamp", "quiet", "seven", "oak", "bridge", "paper", "noon", "copper"]
END = 257  # <|im_end|>, after 256 bytes and <|im_start|>
VOCAB = END + 1
# Metrics that differ between two equal runs.
CLOCKS = {"step_s", "tokens_per_s", "pairs_per_s", "mem_peak_bytes", "mfu"} | {
    share(phase) for phase in Phase
}
bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
# Slow: each takes some seconds.
FSDP2, ZERO2, ZERO3 = (
    pytest.param(name, marks=pytest.mark.slow) for name in ("fsdp2", "zero2", "zero3")
)
FORK = multiprocessing.get_context("fork")
CLEAN_FORK = multiprocessing.get_context("forkserver")
CLEAN_FORK.set_forkserver_preload(["tests.orpo.warm"])
# tqdm's own lock is shared with forked children: a child killed while holding it blocks the others.
for bar in (tqdm.std.tqdm, tqdm.auto.tqdm):
    bar.set_lock(threading.RLock())


def write_base(
    folder: Path,
    *,
    template: str | None = TEMPLATE,
    eos: str | None = "<|im_end|>",
    poison: bool = False,
    dtype: torch.dtype = torch.float32,
    model: PreTrainedModel | None = None,
    **config: Any,
) -> Path:
    """A model folder with a byte-level tokenizer; `poison` puts a NaN into one weight. By default
    the model is a Llama; `config` overrides its configuration.
    """
    model = model or _llama(eos is not None, config)
    if poison:
        model.get_parameter("model.layers.1.mlp.down_proj.weight").data[0, 0] = float("nan")
    torch.nn.Module.to(model, dtype)
    model.save_pretrained(folder)
    _tokenizer(template, eos).save_pretrained(folder)
    return folder


def _llama(ends: bool, config: dict[str, Any]) -> PreTrainedModel:
    torch.manual_seed(0)
    default = {
        "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
        "tie_word_embeddings": True, "eos_token_id": END if ends else None, "bos_token_id": END,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**default, **config}))


def _tokenizer(template: str | None, eos: str | None) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=eos, pad_token=eos)
    if template:
        tokenizer.chat_template = template
    return tokenizer


def write_pairs(path: Path, n: int, seed: int = 0) -> Path:
    """`n` accepted rows in their normal form, of different lengths."""
    rng = random.Random(seed)

    def words(most: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, most)))

    with path.open("w") as file:
        for line in range(1, n + 1):
            row = {
                "line": line,
                "prompt": [{"role": "user", "content": words(6)}],
                "chosen": [{"role": "assistant", "content": words(8) + "."}],
                "rejected": [{"role": "assistant", "content": words(12) + "!"}],
            }
            file.write(json.dumps(row) + "\n")
    return path


@dataclass(frozen=True)
class Bench:
    """A folder with a base model and rows, in which runs are made."""

    folder: Path
    base: Path
    train_path: Path

    def spec(self, name: str, *, resume_from: Path | None = None, seed: int = 0, **method: Any):
        """Write the spec of a run of a few short steps; return its run directory."""
        settings = {
            "n_epochs": 50, "max_steps": 6, "batch_size": 4, "learning_rate": 1e-2,
            "precision": "fp32", "lora_rank": 2, "max_length": 256, "token_budget": 300,
            "held_out_fraction": 0.2, "n_samples": 1, "sample_tokens": 4, "eval_every": 3,
            "checkpoint_every": 2,
        }  # fmt: skip
        kind = method.pop("type", "orpo")
        settings = {n: held for n, held in settings.items() if n not in METHODS[kind].unused}
        base, train_path = method.pop("base", self.base), method.pop("train_path", self.train_path)
        reward_path = method.pop("reward_path", None)
        spec = RunSpec(
            job_id=name,
            base_model="tiny",
            base_model_path=base,
            train_path=train_path,
            method=parse_method(kind, settings | method),
            reward_path=reward_path,
            seed=seed,
            resume_from=resume_from,
            threads=1,
        )
        run_dir = self.folder / name
        write_spec(spec, run_dir)
        return run_dir

    def run(self, name: str, **settings: Any) -> Path:
        """Train in this process and expect it to finish; returns the run directory."""
        run_dir = self.spec(name, **settings)
        status = train.main(run_dir)
        assert status == 0, records(run_dir, "events")[-1]
        return run_dir


def fork_ranks(run_dir: Path, ranks: int, first: Callable[[], None] | None = None) -> list[Any]:
    """Start a run as `ranks` forked processes, with the environment that `orpo.ranks` gives; each
    calls `first` before the run. They do not see what a test has patched.
    """
    children = [
        CLEAN_FORK.Process(
            target=_child,
            args=(
                run_dir,
                {**os.environ, "WORLD_SIZE": ranks, "RANK": rank, "LOCAL_RANK": rank},
                first,
            ),
            daemon=True,  # ranks that wait for each other must not block the end of the tests
        )
        for rank in range(ranks)
    ]
    for child in children:
        child.start()
    return children


def fork_single(run_dir: Path, first: Callable[[], None] | None = None) -> Any:
    """Start a run as one forked process; the process calls `first` before the run."""
    child = FORK.Process(target=_child, args=(run_dir, {}, first))
    child.start()
    return child


def _child(run_dir: Path, env: dict[str, Any], first: Callable[[], None] | None = None) -> None:
    os.environ.update({name: str(value) for name, value in env.items()})
    faulthandler.register(signal.SIGUSR1)
    torch.set_num_threads(1)
    try:
        if first:
            first()
        os._exit(train.main(run_dir))
    except BaseException:  # noqa: BLE001  a forked child must never return into pytest
        traceback.print_exc()
        os._exit(99)


def join(children: list[Any], timeout_s: float = 60) -> list[int | None]:
    """Wait for forked ranks; returns their exit statuses (negative: the signal). Those that are
    still running print the stacks of all their threads and are killed; their status is None.
    """
    for child in children:
        child.join(timeout_s)
    statuses = [child.exitcode for child in children]
    for child in children:
        if child.exitcode is None:
            os.kill(child.pid, signal.SIGUSR1)
            time.sleep(1)
            child.kill()
    return statuses


def spread_over(strategy: str, processes: int = 2) -> dict[str, Any]:
    """The settings of a run over several processes; skips the test where DeepSpeed is missing."""
    if strategy.startswith("zero"):
        pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    return {"strategy": strategy, "processes": processes}


def records(run_dir: Path, name: str) -> list[dict[str, Any]]:
    """The lines of one of the run's journals."""
    path = run_dir / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def numbers(run_dir: Path, after: int = -1) -> dict[tuple[int, str], dict[str, float]]:
    """The metrics of steps after `after` by (step, split), without the series in CLOCKS."""
    found = {}
    for record in records(run_dir, "metrics"):
        key = (record["step"], record["split"])
        assert key not in found, f"{key} was logged twice"
        if record["step"] > after:
            found[key] = {k: v for k, v in record["values"].items() if k not in CLOCKS}
    return found


def checkpoint(run_dir: Path, step: int) -> Path:
    """The folder of a run's checkpoint."""
    return run_dir / "checkpoints" / f"step-{step:06d}"


def state(folder: Path) -> dict[str, torch.Tensor]:
    """Weights and moments of a checkpoint."""
    return load_file(folder / "state" / "training.safetensors")


def assert_same(left: Path, right: Path) -> None:
    """Two checkpoints hold the same bits: weights, moments and step."""
    a, b = state(left), state(right)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_near(left: Path, right: Path) -> None:
    """Two checkpoints hold the same numbers except for rounding.

    Moments of an optimizer are smaller than the absolute bound. So they are also compared relative
    to their norm, like gradients; second moments by their root, which has a gradient's size.
    """
    expected, found = state(left), state(right)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.allclose(tensor, found[name], rtol=1e-5, atol=1e-5), name
    for kind in {name.partition("/")[0] for name in expected} - {"weight"}:
        ours, theirs = (
            {
                name: tensor if kind == "exp_avg" else tensor.sqrt()
                for name, tensor in tensors.items()
                if name.startswith(f"{kind}/")
            }
            for tensors in (found, expected)
        )
        error, where = worst_gradient_error(ours, theirs)
        assert error <= 1e-5, f"{where} is off by {error:.1e}"
