"""Lets an engine on a CPU score a prompt while it answers others.

vLLM 0.32 gives each request of a batch one row of the head's LoRA. A prompt whose log-probs are
requested, as a certificate does, has a row for each token. If another request runs beside it, the
shapes differ and the engine dies. No adapter that is served trains the head (such weights are
merged), so nothing needs to be added in that case.

Imported by each worker of the engine through `--worker-extension-cls scoring.Extension`.
"""

from importlib import import_module
from typing import Any

# By name: only the engine's interpreter has vLLM, and no process of ours imports it.
PunicaWrapperCPU: Any = import_module("vllm.lora.punica_wrapper.punica_cpu").PunicaWrapperCPU

_add_lora_logits = PunicaWrapperCPU.add_lora_logits


class Extension:
    """Empty: vLLM imports it, and the import of this module applies the change."""


def add_lora_logits(self: Any, y: Any, x: Any, *args: Any, **options: Any) -> None:
    """Call vLLM's if `x`, of rows by width, has one row for each request; else do nothing."""
    if x.view(-1, x.shape[-1]).size(0) == self.sampler_indices.size(0):
        _add_lora_logits(self, y, x, *args, **options)


PunicaWrapperCPU.add_lora_logits = add_lora_logits
