"""PEFT, asked to leave bitsandbytes alone. The only module of the core that imports it.

PEFT imports bitsandbytes wherever that is installed, and with it torch's compiler: 2.5 s of each
start, for layers that we don't use. Who needs bitsandbytes itself asks for it through `bnb.py`.
"""

import sys
from typing import Any, cast

_modules = cast("dict[str, Any]", sys.modules)
_found = _modules.get("bitsandbytes")
# A name that stands for None can't be imported; PEFT asks once, and remembers the answer.
_modules["bitsandbytes"] = None
try:
    from peft import LoraConfig, PeftModel, get_peft_model
    from peft.tuners import lora
    from peft.utils import ModulesToSaveWrapper
finally:
    del _modules["bitsandbytes"]
    if _found is not None:
        _modules["bitsandbytes"] = _found

LoraLayer = lora.LoraLayer

__all__ = ["LoraConfig", "LoraLayer", "ModulesToSaveWrapper", "PeftModel", "get_peft_model", "lora"]
