"""Imports PEFT without bitsandbytes. The only module of the core that imports PEFT.

PEFT imports bitsandbytes wherever that is installed, and with it torch's compiler: 2.5 s of each
start, for layers that we don't use. Code that needs bitsandbytes imports it through `bnb.py`.
"""

import sys
from typing import Any, cast

_modules = cast("dict[str, Any]", sys.modules)
_found = _modules.get("bitsandbytes")
# A module that is None in `sys.modules` can't be imported; PEFT checks once and keeps the result.
_modules["bitsandbytes"] = None
try:
    from peft import LoraConfig, PeftModel, get_peft_model
    from peft.tuners import lora
    from peft.utils import ModulesToSaveWrapper, set_peft_model_state_dict
finally:
    del _modules["bitsandbytes"]
    if _found is not None:
        _modules["bitsandbytes"] = _found

LoraLayer = lora.LoraLayer

__all__ = [
    "LoraConfig",
    "LoraLayer",
    "ModulesToSaveWrapper",
    "PeftModel",
    "get_peft_model",
    "lora",
    "set_peft_model_state_dict",
]
