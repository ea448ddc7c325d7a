"""The policy: a base model with or without an adapter, and its log-probs at labelled tokens.

Knows transformers and PEFT; knows nothing of the objective or of steps.

Shapes: T packed tokens, L labelled tokens, N rows of a tile, D hidden size.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from orpo import attention, kernels
from orpo.failures import Failure
from orpo.hyperparameters import Hyperparameters, Precision, Tuning
from orpo.masters import Masters
from orpo.pack import Batch
from orpo.spec import RunSpec
from orpo.tokenize import load_tokenizer

# fp32 logits of one tile of the head; beyond it tiles are recomputed in the backward pass.
TILE_BYTES = 256 * 2**20

# What a configuration may name, and the head then does to its logits.
SCALED = ("logit_scale", "logits_scaling", "final_logit_softcapping")

Policy = PreTrainedModel | PeftModel
DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP32: torch.float32}


def load(spec: RunSpec) -> tuple[Policy, PreTrainedTokenizerBase]:
    """The untrained policy of a run, and its tokenizer; what is trained is fp32 (see `masters`).

    LoRA keeps the base in the compute precision. Raises OSError where the folder can't be loaded.
    """
    full = spec.method.tuning is Tuning.FULL
    precision = Precision.FP32 if full else spec.method.precision
    model = load_base(spec.base_model_path, precision)
    policy = model if full else with_lora(model, spec.method, spec.seed)
    if spec.method.gradient_checkpointing:
        recompute_layers(policy)
    return policy, load_tokenizer(spec.base_model_path)


def load_base(path: Path, precision: Precision | None) -> PreTrainedModel:
    """A causal language model from a local safetensors folder; its own code is never run.

    Its weights are held in `precision`, or as they are stored where that is None. Dropout is off
    for good: with it, two ways of packing a batch would differ.
    """
    model = AutoModelForCausalLM.from_pretrained(
        path,
        dtype="auto" if precision is None else DTYPES[precision],
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    return prepare(model)


def prepare(model: PreTrainedModel) -> PreTrainedModel:
    """Turn dropout off and packed attention on, where the architecture allows it."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # pyright: ignore[reportArgumentType]
    attention.install(model)
    kernels.install(model)
    return model


def with_lora(model: PreTrainedModel, method: Hyperparameters, seed: int) -> PeftModel:
    """Wrap `model` with a fresh fp32 adapter on all linear layers but the head; seeded.

    Raises Failure(`bad_spec`) where PEFT has no adapter for the architecture.
    """
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=method.lora_rank,
        lora_alpha=method.lora_alpha,  # pyright: ignore[reportArgumentType]  PEFT takes floats
        use_rslora=method.use_rslora,  # arXiv 2312.03732
        lora_dropout=0.0,
        target_modules="all-linear",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            policy = cast(PeftModel, get_peft_model(model, config))
        except ValueError as error:  # such as layers that others read past their forward: Mamba's
            raise Failure(
                "bad_spec",
                f"{type(model).__name__} takes no adapter: {error}",
                "Set tuning to full.",
                "method.tuning",
            ) from error
    for module in policy.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False  # autocast casts once, to bf16
    kernels.install_lora(policy)
    return policy.eval()


def recompute_layers(model: Policy) -> None:
    """Let the backward pass compute each decoder layer again, so that only their inputs are kept
    (arXiv 1604.06174).
    """
    for layer in layers(model):
        layer.forward = partial(_recomputed, layer.forward)


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=attention.twice, **kwargs)


def masters(model: Policy, precision: Precision) -> Masters:
    """The trained weights' masters. From now on all weights compute in `precision`, but an
    adapter, which autocast rounds where it is used.
    """
    compute = None if isinstance(model, PeftModel) else DTYPES[precision]
    return Masters(trainable(model).items(), compute)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that the optimizer sees, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def load_saved(spec: RunSpec, folder: Path) -> Policy:
    """The policy of a checkpoint's folder as it was saved, on the CPU."""
    if (folder / "model").is_dir():
        return load_base(folder / "model", None)
    base = load_base(spec.base_model_path, spec.method.precision)
    return PeftModel.from_pretrained(base, str(folder / "adapter")).eval()


def layers(model: Policy) -> list[nn.Module]:
    """The decoder layers, as transformers names what must stay on one device."""
    lm = causal_lm(model)
    names = set(lm._no_split_modules or ())  # noqa: SLF001  where transformers keeps it
    return [module for module in lm.modules() if type(module).__name__ in names]


def causal_lm(model: Policy) -> PreTrainedModel:
    """The transformers model inside a policy."""
    return cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model


def why_unpacked(model: Policy) -> str | None:
    """Why sequences go through the model one by one, or None where they are packed."""
    return attention.why_not(causal_lm(model))


def head(lm: PreTrainedModel) -> nn.Linear:
    """The layer that turns hidden states into logits."""
    return cast(nn.Linear, lm.get_output_embeddings())


def token_logps(model: Policy, batch: Batch, precision: Precision) -> Tensor:
    """log P of each labelled token of `batch`, fp32, [L], with its graph where grad is on.

    One pass through the backbone, then the head at labelled positions only, in tiles: no [T, V]
    tensor is ever made. Where the architecture can't be packed, one pass a sequence.
    """
    lm = causal_lm(model)
    with autocast(lm, precision):
        states = _packed_states if attention.packs(lm) else _row_states
        return head_logps(lm, states(lm, batch), batch.target_L)


def autocast(lm: PreTrainedModel, precision: Precision) -> contextlib.AbstractContextManager:
    """The compute precision of a forward pass: bf16 on the model's device, or nothing to do."""
    if precision is Precision.FP32:
        return contextlib.nullcontext()
    return torch.autocast(lm.device.type, dtype=torch.bfloat16)


def _packed_states(lm: PreTrainedModel, batch: Batch) -> Tensor:
    """Hidden states that predict the labelled tokens, [L, D]."""
    with attention.layout(batch.segments) as layout:
        hidden_TD = _backbone(lm, batch.input_ids_T, batch.position_ids_T)
    if layout.calls == 0:
        raise RuntimeError("The model never called the packed attention; its loss would be wrong.")
    return hidden_TD[batch.predictor_L]


def _row_states(lm: PreTrainedModel, batch: Batch) -> Tensor:
    """The same, sequence by sequence through the model's own attention."""
    hidden, places = [], []
    for segment in batch.segments:
        row = torch.cat(
            (
                torch.arange(segment.prefix_start, segment.prefix_end),
                torch.arange(segment.tail_start, segment.tail_end),
            )
        ).to(batch.input_ids_T.device)
        mine = (batch.sequence_L == segment.sequence).nonzero().squeeze(1)
        at = batch.position_ids_T[batch.predictor_L[mine]]
        hidden.append(_backbone(lm, batch.input_ids_T[row], batch.position_ids_T[row])[at])
        places.append(mine)
    return torch.cat(hidden)[torch.cat(places).argsort()]


def _backbone(lm: PreTrainedModel, input_ids_T: Tensor, position_ids_T: Tensor) -> Tensor:
    output = lm.base_model(
        input_ids=input_ids_T[None], position_ids=position_ids_T[None], use_cache=False
    )
    return output.last_hidden_state[0]


def head_logps(lm: PreTrainedModel, hidden_LD: Tensor, target_L: Tensor) -> Tensor:
    """log P(target) at each state through the model's head, fp32, [L]."""
    vocab_size = head(lm).weight.shape[0]
    rows = max(1, TILE_BYTES // (4 * vocab_size))
    tiles = list(zip(hidden_LD.split(rows), target_L.split(rows), strict=True))
    if len(tiles) == 1 or not torch.is_grad_enabled():
        return torch.cat([_tile_logps(lm, hidden, target) for hidden, target in tiles])
    return torch.cat(
        [
            checkpoint(_tile_logps, lm, hidden, target, use_reentrant=False)
            for hidden, target in tiles
        ]
    )


def _tile_logps(lm: PreTrainedModel, hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    config = lm.config.get_text_config()
    plain = type(head(lm)) is nn.Linear and head(lm).bias is None
    if (
        torch.is_grad_enabled()
        and plain
        and not any(getattr(config, name, None) for name in SCALED)
    ):
        return kernels.head_logps(head(lm), hidden_ND, target_N)
    logits = head(lm)(hidden_ND).float()
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scale
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
        logits = cap * torch.tanh(logits / cap)
    return -F.cross_entropy(logits, target_N, reduction="none")
