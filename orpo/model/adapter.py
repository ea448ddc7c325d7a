"""The adapter that is trained instead of a model's weights, and the modules that are trained whole
with it.

Knows PEFT; knows nothing of log-probs or runs.
"""

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Hyperparameters, Tuning
from orpo.layers import kernels, nf4
from orpo.layers.peft import LoraConfig, LoraLayer, ModulesToSaveWrapper, PeftModel, get_peft_model
from orpo.model.score_head import has_score


def with_lora(
    model: PreTrainedModel,
    method: Hyperparameters,
    seed: int,
    compute: torch.dtype | None = None,
) -> PeftModel:
    """Wrap `model` with a fresh fp32 adapter on all linear layers but the head; seeded.

    `modules_to_save` are trained whole, in fp32 too; so is the score of a reward model (PEFT adds
    it for its task). Frozen weights are cast to `compute`, or held in 4 bits. Raises
    Failure(`bad_spec`) if the method names modules that the model does not have, or PEFT has no
    adapter for the architecture.
    """
    saved = _named(model, method.modules_to_save)
    embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
    config = LoraConfig(
        task_type="SEQ_CLS" if has_score(model) else "CAUSAL_LM",
        r=method.lora_rank,
        lora_alpha=method.lora_alpha,  # pyright: ignore[reportArgumentType]  PEFT takes floats
        use_rslora=method.use_rslora,  # arXiv 2312.03732
        use_dora=method.use_dora,  # arXiv 2402.09353
        lora_dropout=0.0,
        target_modules="all-linear",
        modules_to_save=saved or None,
        # A tied tensor stays one tensor: trained under one name only, the other would keep the
        # base's values.
        ensure_weight_tying=any(model.get_submodule(name) in embeddings for name in saved)
        and model.config.get_text_config().tie_word_embeddings
        and not has_score(model),  # it has no head to tie
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            policy = cast(PeftModel, get_peft_model(model, config))
        except ValueError as error:  # e.g. Mamba: reads weights past their forward
            raise Failure(
                Code.BAD_SPEC,
                f"{type(model).__name__} takes no adapter: {error}",
                "Set tuning to full.",
                "method.tuning",
            ) from error
    for weight in policy.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.to(compute or weight.dtype)
    for module in policy.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False  # autocast casts once, to bf16
            _measure_rows(module)
        elif isinstance(module, ModulesToSaveWrapper):
            _widen_saved(module)
    if method.tuning is Tuning.QLORA:
        nf4.quantize(policy)
    kernels.install_lora(policy)
    return policy.eval()


def _named(model: PreTrainedModel, ends: list[str]) -> list[str]:
    """The full names of the modules whose names end in one of `ends`; only whole parts of a name
    match.
    """
    names = [
        name
        for name, module in model.named_modules(remove_duplicate=False)
        if any(True for _ in module.parameters(recurse=False)) and not any(module.children())
    ]
    found = {end: [name for name in names if f".{name}".endswith(f".{end}")] for end in ends}
    if missing := [end for end in ends if not found[end]]:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in names}))
        raise Failure(
            Code.BAD_SPEC,
            f"modules_to_save names {', '.join(missing)}, but no module of the model that holds "
            "weights has a name with this end.",
            f"Choose among the ends of their names: {known[:400]}.",
            "method.modules_to_save",
        )
    return [name for name in names if any(name in group for group in found.values())]


def _measure_rows(layer: LoraLayer) -> None:
    """Make DoRA measure rows in fp32: PEFT rounds their lengths to the base's type. In bf16 the
    error is up to 0.4 %, more than the change of many steps.
    """
    doras: list[Any] = list(layer.lora_magnitude_vector.values())
    for dora in doras:
        dora.get_weight_norm = partial(_row_lengths, dora.fan_in_fan_out)
        weight = cast(Tensor, layer.get_base_layer().weight)
        dora.weight.data = dora.get_weight_norm(weight.detach(), torch.zeros(()), 1.0)


def _row_lengths(
    is_transposed: bool,
    weight: Tensor,
    lora_weight: Tensor,
    scaling: float,
    adapter_name: str | None = None,  # noqa: ARG001  PEFT's cache is off
) -> Tensor:
    weight = kernels.wide(weight.T if is_transposed else weight)
    return torch.linalg.vector_norm(weight + scaling * lora_weight, dim=1)


def _widen_saved(wrapper: ModulesToSaveWrapper) -> None:
    for module in wrapper.modules_to_save.values():
        module.float()
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_as_autocast)


def _as_autocast(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    """Cast an embedding's output as autocast would: autocast skips embeddings, and fp32 output
    would widen all later sums.
    """
    device = output.device.type
    enabled = torch.is_autocast_enabled(device)
    return output.to(torch.get_autocast_dtype(device)) if enabled else output
