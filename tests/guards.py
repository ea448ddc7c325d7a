"""Guards of the product, taken out so that a test can be seen to fail without them.

The product has no switch for that. A guard is named by its module and its path in there; what takes
its place is an edit of its own text, or something else that is made of it. The model check takes
guards out in its own process, the fault suite in those that it starts (`tests/faults/without.py`).
"""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any

# (its module, what stands there) -> what takes its place.
Substitute = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Guard:
    """What stands at `path` in `module`, and what takes its place."""

    module: str
    path: str
    instead: Substitute

    def take_out(self, put: Callable[[Any, str, Any], object] = setattr) -> None:
        """Put the substitute there; fails where the product has no such thing (any more)."""
        module = import_module(self.module)
        *owners, name = self.path.split(".")
        owner = reduce(getattr, owners, module)
        put(owner, name, self.instead(module, getattr(owner, name)))


def edited(function: Callable[..., Any], old: str, new: str) -> Guard:
    """The function with `new` in the place of `old`, which must be in its text once."""

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
    """Another value."""
    return lambda *_: instead
