"""Lets an engine on a CPU score a prompt while it answers others.

vLLM 0.32 gives each request of a batch one row of the head's LoRA. A prompt whose log-probs are
asked for, as by a certificate, has a row for each token, so the shapes differ where another request
runs, and the engine dies. No adapter that is served trains the head (such weights are merged), so
rows that are no request's have nothing added.

Imported by each worker of the engine through `--worker-extension-cls scoring.Extension`.
"""

from importlib import import_module
from typing import Any

# By name: only the engine's interpreter has vLLM, and no process of ours imports it.
PunicaWrapperCPU: Any = import_module("vllm.lora.punica_wrapper.punica_cpu").PunicaWrapperCPU

_add_lora_logits = PunicaWrapperCPU.add_lora_logits


class Extension:
    """Nothing: the import of this module is what counts."""


def add_lora_logits(self: Any, y: Any, x: Any, *args: Any, **options: Any) -> None:
    """As vLLM's, where `x`, of rows by width, has one row for each request of the batch."""
    if x.view(-1, x.shape[-1]).size(0) == self.sampler_indices.size(0):
        _add_lora_logits(self, y, x, *args, **options)


PunicaWrapperCPU.add_lora_logits = add_lora_logits
