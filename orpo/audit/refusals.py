"""Why a step of a recipe can't be applied to its files: one form of sentence and field."""

from orpo.audit.recipe import Step, in_words
from orpo.contract.failures import Code, Failure

CORRECT = "Correct the recipe."


def refused(at: int, step: Step, key: str | None, why: str, hint: str = CORRECT) -> Failure:
    """The failure of the `at`-th step from 0, to raise; `key` is the key at fault, if it is one."""
    param = f"recipe.{at}.{key}" if key else f"recipe.{at}"
    return Failure(Code.BAD_DATA, f"{in_words(at, step)}: {why}", hint, param)
