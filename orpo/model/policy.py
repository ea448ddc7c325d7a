"""The policy: a base model with or without an adapter, and its log-probs at labelled tokens.

Knows transformers and PEFT; knows nothing of the objective or of steps.

Shapes: T packed tokens, L labelled tokens, N rows of a tile, D hidden size.
"""

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orpo.base.files import blaming, unchanged
from orpo.contract import rundir
from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Precision, Tuning
from orpo.contract.spec import RunSpec
from orpo.layers import attention, kernels
from orpo.layers.peft import ModulesToSaveWrapper, PeftModel
from orpo.layers.widen import widened
from orpo.model import value_head
from orpo.model.adapter import with_lora
from orpo.model.base_model import load_whole
from orpo.model.masters import Masters
from orpo.model.score_head import has_score, pad_token, score_head, with_score
from orpo.tokens.pack import Batch
from orpo.tokens.templates import load_tokenizer

# Bytes of fp32 logits of one tile of the head; with more than one tile, the backward pass
# recomputes them.
TILE_BYTES = 256 * 2**20
# The same on a GPU, where a tile's logits are kept in bf16 and widened in slices only: a whole
# micro-batch of 8,192 labelled tokens on a vocabulary of 128,256.
KEPT_TILE_BYTES = 4 * 2**30 + 2**28

# Settings of a configuration that change the head's logits.
SCALED = ("logit_scale", "logits_scaling", "final_logit_softcapping")
PROBE = [1, 2, 3, 4, 5, 6, 7, 8]  # a few tokens that every vocabulary has
TOLERANCE = 1e-4  # for their log-probs in fp32: relative, and in nats near zero

Policy = PreTrainedModel | PeftModel
Change = Callable[[PreTrainedModel], PreTrainedModel]
DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP32: torch.float32}


def load(spec: RunSpec) -> tuple[Policy, PreTrainedTokenizerBase]:
    """The untrained policy of a run, and its tokenizer; trained weights are fp32 (see `masters`).

    A base that stays frozen is kept in the compute precision, or in 4 bits. Raises OSError if the
    folder can't be loaded, and Failure if the spec names a part that the model does not have.
    """
    method, tokenizer = spec.method, load_tokenizer(spec.base_model_path)
    change = None
    if method.scores:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad_token(tokenizer))
        tokenizer.padding_side = "right"
        pad: Any = tokenizer.pad_token_id
        change = partial(with_score, seed=spec.seed, pad_token_id=pad)
    if method.tuning is Tuning.FULL:
        policy = load_registered(spec, Precision.FP32, change)
    else:
        # Modules that are saved whole start with the stored values, not with the base's compute
        # precision.
        precision = None if method.modules_to_save else method.precision
        base = load_registered(spec, precision, change)
        policy = with_lora(base, method, spec.seed, DTYPES[method.precision])
    if method.gradient_checkpointing:
        recompute_layers(policy, offload=method.activation_offload)
    return policy, tokenizer


def as_served(policy: Policy, spec: RunSpec) -> Policy:
    """The untrained policy as an engine serves it: engines do not serve the base of QLoRA in 4
    bits.
    """
    if spec.method.tuning is Tuning.QLORA:
        return load_registered(spec, spec.method.precision)
    return policy


def load_registered(
    spec: RunSpec, precision: Precision | None, change: Change | None = None
) -> PreTrainedModel:
    """`load_base` of the run's base; raises Failure(`base_changed`) if its files are no longer
    those that were registered. One process per machine checks.
    """
    looks = os.environ.get(rundir.LOCAL_RANK, "0") == "0"
    known = (spec.base_sha256, spec.base_files) if looks else (None, None)
    with unchanged(spec.base_model_path, *known):
        return load_base(spec.base_model_path, precision, change)


def load_base(
    path: Path, precision: Precision | None, change: Change | None = None
) -> PreTrainedModel:
    """A causal language model from a local safetensors folder, or what `change` makes of it; its
    own code is never run.

    Its weights are held in `precision`, or in their stored type if that is None. Dropout is always
    off: with it, two ways of packing a batch would give different results. Raises
    Failure(`bad_spec`) if its head is not supported (see `check_head`), and what `load_whole`
    raises.
    """
    model = load_whole(path, "auto" if precision is None else DTYPES[precision])
    with blaming(f"The model in {path}"):
        return prepare(change(model) if change else model)


def prepare(model: PreTrainedModel) -> PreTrainedModel:
    """Turn dropout off, and packed attention on if the architecture allows it; raises Failure if
    the head is not supported (see `check_head`).
    """
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # pyright: ignore[reportArgumentType]
    attention.install(model)
    if not has_score(model):
        check_head(model)
    kernels.install(model)
    return model


def recompute_layers(model: Policy, *, offload: bool = False) -> None:
    """Make the backward pass recompute each decoder layer, so that only the layers' inputs are kept
    (arXiv 1604.06174); with `offload`, in the host's memory. Raises Failure if the layers are
    unknown.
    """
    found = layers(model)
    if not found:
        raise Failure(
            Code.BAD_SPEC,
            "gradient_checkpointing computes layers again, and transformers does not say which "
            f"modules of {type(causal_lm(model)).__name__} are layers.",
            "Set gradient_checkpointing to false.",
            "method.gradient_checkpointing",
        )
    for layer in found:
        layer.forward = partial(_recomputed, layer.forward, offload)


def _recomputed(forward: Callable[..., Any], offload: bool, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    with in_host_memory() if offload else contextlib.nullcontext():
        return checkpoint(forward, *args, use_reentrant=False, context_fn=attention.twice, **kwargs)


def in_host_memory() -> contextlib.AbstractContextManager:
    """Keep the backward pass's saved tensors in the host's memory; does nothing on a CPU."""
    if not torch.cuda.is_available():
        return contextlib.nullcontext()
    return save_on_cpu(pin_memory=True)


def masters(model: Policy, precision: Precision) -> Masters:
    """The trained weights' masters. From now on all weights compute in `precision`, except an
    adapter, which autocast rounds at each use, and a score or a value head (fp32).
    """
    compute = None if isinstance(model, PeftModel) else DTYPES[precision]
    lm = causal_lm(model)
    own = score_head(lm) if has_score(lm) else value_head.of(lm)
    return Masters(trainable(model).items(), compute, own.parameters() if own else [])


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that the optimizer sees, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def load_saved(spec: RunSpec, folder: Path) -> Policy:
    """The policy of a checkpoint's folder as it was saved, on the CPU."""
    if (folder / rundir.MODEL).is_dir():
        return load_base(folder / rundir.MODEL, None)
    base = load_registered(spec, spec.method.precision)
    if spec.method.modules_to_save:
        base.float()  # PEFT would round weights saved in fp32 to the base's type
    return PeftModel.from_pretrained(base, str(folder / rundir.ADAPTER)).eval()


def layers(model: Policy) -> list[nn.Module]:
    """The decoder layers: those that transformers lists in `_no_split_modules`."""
    lm = causal_lm(model)
    names = set(lm._no_split_modules or ())  # noqa: SLF001  transformers has no public name for it
    return [module for module in lm.modules() if type(module).__name__ in names]


def causal_lm(model: Policy) -> PreTrainedModel:
    """The transformers model inside a policy."""
    return cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model


def why_unpacked(model: Policy) -> str | None:
    """Why sequences go through the model one by one, or None where they are packed."""
    return attention.why_not(causal_lm(model))


def head(lm: PreTrainedModel) -> nn.Linear:
    """The layer that turns hidden states into logits; if it is trained whole, the trained copy,
    unless adapters are off.
    """
    found = lm.get_output_embeddings()
    if isinstance(found, ModulesToSaveWrapper):
        copies = found.modules_to_save
        found = (
            found.original_module if found.disable_adapters else copies[found.active_adapters[0]]
        )
    return cast(nn.Linear, found)


def token_logps(model: Policy, batch: Batch, precision: Precision) -> Tensor:
    """log P of each labelled token of `batch`, fp32, [L], with its graph where grad is on.

    One pass through the backbone, then the head at labelled positions only, in tiles: no [T, V]
    tensor is ever made. If the architecture can't be packed, one pass for each sequence.
    """
    lm = causal_lm(model)
    with autocast(lm, precision):
        states_LD = hidden_states(lm, batch, batch.predictor_L, batch.sequence_L)
        return head_logps(lm, states_LD, batch.target_L)


def autocast(lm: PreTrainedModel, precision: Precision) -> contextlib.AbstractContextManager:
    """The compute precision of a forward pass: autocast to bf16 on the model's device, or no
    autocast.
    """
    if precision is Precision.FP32:
        return contextlib.nullcontext()
    return torch.autocast(lm.device.type, dtype=torch.bfloat16)


def hidden_states(lm: PreTrainedModel, batch: Batch, place_N: Tensor, sequence_N: Tensor) -> Tensor:
    """The backbone's output at places of T, each as its sequence sees it, [N, D].

    Call it under `autocast`.
    """
    if not attention.packs(lm):
        return _row_states(lm, batch, place_N, sequence_N)
    with attention.layout(batch.segments) as layout:
        hidden_TD = _backbone(lm, batch.input_ids_T, batch.position_ids_T)
    if layout.calls == 0:
        raise RuntimeError("The model never called the packed attention; its loss would be wrong.")
    return hidden_TD[place_N]


def _row_states(lm: PreTrainedModel, batch: Batch, place_N: Tensor, sequence_N: Tensor) -> Tensor:
    """The same, sequence by sequence through the model's own attention."""
    hidden, places = [], []
    for segment in batch.segments:
        row = torch.cat(
            (
                torch.arange(segment.prefix_start, segment.prefix_end),
                torch.arange(segment.tail_start, segment.tail_end),
            )
        ).to(batch.input_ids_T.device)
        mine = (sequence_N == segment.sequence).nonzero().squeeze(1)
        at = batch.position_ids_T[place_N[mine]]
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
    rows = _tile_rows(lm)
    tiles = list(zip(hidden_LD.split(rows), target_L.split(rows), strict=True))
    if len(tiles) == 1 or not torch.is_grad_enabled():
        return torch.cat([_tile_logps(lm, hidden, target) for hidden, target in tiles])
    return torch.cat(
        [
            checkpoint(_tile_logps, lm, hidden, target, use_reentrant=False)
            for hidden, target in tiles
        ]
    )


def check_head(lm: PreTrainedModel) -> None:
    """Raise Failure(`bad_spec`) unless `_logps_by_module` gives the model's own log-probs.

    Some architectures scale, cap or transform their logits by settings of their own; without these,
    the loss would be wrong. Both start from the hidden states of a few tokens, computed in the
    weights' precision. From the head on everything is fp32: the noise of bf16 is as large as an
    error.
    """
    ids_T = torch.tensor(PROBE, device=lm.device)
    stored = head(lm).weight.dtype
    precision = Precision.FP32 if stored == torch.float32 else Precision.BF16
    with (
        torch.no_grad(),
        widened(head(lm)),
        autocast(lm, precision),
        contextlib.ExitStack() as from_head_on,
    ):

        def widen(_head: nn.Module, inputs: tuple[Tensor]) -> Tensor:
            from_head_on.enter_context(torch.autocast(lm.device.type, enabled=False))
            return inputs[0].to(stored).float()  # some models round here, others do not

        states_TD = _backbone(lm, ids_T, torch.arange(len(ids_T), device=lm.device))
        from_head_on.callback(head(lm).register_forward_pre_hook(widen).remove)
        logits_TV = lm(input_ids=ids_T[None], use_cache=False).logits[0]
        own_T = -F.cross_entropy(logits_TV.float(), ids_T, reduction="none")
        ours_T = _logps_by_module(lm, states_TD, ids_T)
    # Weights that hold a NaN are detected at the first step, by the loss.
    if not torch.allclose(ours_T, own_T, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        raise Failure(
            Code.BAD_SPEC,
            f"base_model is a {type(lm).__name__}, whose head changes its logits in a way that is "
            f"not supported: log-probs differ by up to {float((ours_T - own_T).abs().max()):.1e}.",
            "Choose a base model of another architecture, such as Llama, Qwen, Gemma or SmolLM.",
            "base_model",
        )


def _tile_rows(lm: PreTrainedModel) -> int:
    kept = torch.is_grad_enabled() and _is_plain(lm) and lm.device.type == "cuda"
    return max(1, (KEPT_TILE_BYTES if kept else TILE_BYTES) // (4 * head(lm).weight.shape[0]))


def head_bytes(model: Policy, n_labelled: int, precision: Precision) -> int:
    """Bytes of logits that the head keeps for `n_labelled` tokens: at most one tile."""
    lm = causal_lm(model)
    if has_score(lm):  # one number a sequence
        return 0
    rows = min(n_labelled, _tile_rows(lm))
    return rows * head(lm).weight.shape[0] * DTYPES[precision].itemsize


def _is_plain(lm: PreTrainedModel) -> bool:
    """Whether the head is a matrix and nothing else, so that `kernels.head_logps` computes it."""
    config = lm.config.get_text_config()
    plain = type(head(lm)) is nn.Linear and head(lm).bias is None
    scaled = any(getattr(config, name, None) for name in SCALED)
    return plain and not scaled


def _tile_logps(lm: PreTrainedModel, hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    if _is_plain(lm) and not kernels.through_modules(lm.device):
        return kernels.head_logps(head(lm), hidden_ND, target_N)
    return _logps_by_module(lm, hidden_ND, target_N)


def _logps_by_module(lm: PreTrainedModel, hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    """The log-probs of any head, with the options of its model that `SCALED` lists."""
    config = lm.config.get_text_config()
    logits = head(lm)(hidden_ND).float()
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scale
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
        logits = cap * torch.tanh(logits / cap)
    return -F.cross_entropy(logits, target_N, reduction="none")
