"""What the server that forks ranks has loaded before it forks the first (see `tiny_run`).

Importing this module starts no thread: a lock that a thread holds would stay locked in each fork.
"""

from contextlib import suppress
from importlib import import_module

from orpo.layers import native

for name in ("bitsandbytes", "deepspeed", "torch._dynamo", "tests.orpo.tiny_run"):
    with suppress(ImportError):  # the first two are extras
        import_module(name)
native.library()
