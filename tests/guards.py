"""Takes guards out of the product, to show that a test fails without them.

The product has no switch for that. A guard is named by its module and its path in the module. Its
substitute is an edit of its source text, or an object made from the original. The model check takes
guards out in its own process, the fault suite in the processes that it starts
(`tests/faults/without.py`).
"""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any

# (the module, the original object) -> the substitute.
Substitute = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Guard:
    """The object at `path` in `module`, and its substitute."""

    module: str
    path: str
    instead: Substitute

    def take_out(self, put: Callable[[Any, str, Any], object] = setattr) -> None:
        """Put the substitute in place; fails if the product has no such object (any more)."""
        module = import_module(self.module)
        *owners, name = self.path.split(".")
        owner = reduce(getattr, owners, module)
        put(owner, name, self.instead(module, getattr(owner, name)))


def edited(function: Callable[..., Any], old: str, new: str) -> Guard:
    """The function with `old` replaced by `new`; `old` must occur exactly once in its source."""

    def instead(module: Any, there: Callable[..., Any]) -> Any:
        source = textwrap.dedent(inspect.getsource(there))
        n = source.count(old)
        assert n == 1, f"{there.__name__} holds {old!r} {n} times"
        made: dict[str, Any] = {}
        exec(source.replace(old, new), vars(module), made)
        return made[there.__name__]

    return Guard(function.__module__, function.__name__, instead)


def nothing(answer: Any = None) -> Substitute:
    """A function that does nothing and returns `answer`."""
    return lambda *_: lambda *_, **__: answer


def value(instead: Any) -> Substitute:
    """Replace the original by the value `instead`."""
    return lambda *_: instead
