"""Why a run ends badly: a code for programs, a sentence and a hint for people, an exit status.

Knows which exceptions mean what; knows nothing of training.
"""

import errno
import math

from pydantic import ValidationError

from orpo.contract.manifest import Damaged

EXIT_STATUS = {
    "bad_spec": 2,
    "bad_data": 2,
    "bad_model": 2,
    "base_changed": 2,
    "nan": 3,
    "out_of_memory": 4,
    "disk_full": 5,
    "bad_checkpoint": 6,
    "not_resumable": 7,
    "not_exportable": 8,
    "no_parity": 9,
    "internal": 1,
}
# Every rank finds these by itself, at the same moment; one of them need tell.
FOUND_BY_ALL = ("bad_spec", "bad_data", "bad_model", "bad_checkpoint", "not_resumable", "nan")


class Failure(Exception):
    """A run can't go on. `code` is a key of EXIT_STATUS; `param` names a field of the spec."""

    def __init__(self, code: str, message: str, hint: str, param: str | None = None):
        super().__init__(message)
        self.code, self.message, self.hint, self.param = code, message, hint, param

    def __reduce__(self) -> tuple[type["Failure"], tuple[str, str, str, str | None]]:
        """How it travels from one process to another."""
        return Failure, (self.code, self.message, self.hint, self.param)

    @property
    def exit_status(self) -> int:
        """What the process returns."""
        return EXIT_STATUS[self.code]

    def to_json(self) -> dict[str, str | None]:
        """`{code, message, hint, param}`."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "param": self.param}


def refuse_nan(step: int, loss: float, norm: float) -> None:
    """Raise Failure(`nan`) unless loss and gradient norm are finite numbers."""
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise Failure(
            "nan",
            f"At step {step} the loss is {loss} and the gradient's norm {norm}; "
            "nothing of it is kept.",
            "Lower the learning rate, or train in fp32. The last checkpoint is intact.",
            "learning_rate",
        )


def explain(error: BaseException) -> Failure:
    """The failure that an exception amounts to; an unforeseen one is `internal` and retryable."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, ValidationError):
        return _bad_spec(error)
    if isinstance(error, Damaged) or is_panic(error):
        return _bad_files(error)
    if is_out_of_memory(error):
        hint = "Lower token_budget or max_length, choose lora tuning, or take a smaller base model."
        return Failure("out_of_memory", "The device ran out of memory.", hint)
    if _disk_full(error):
        hint = "Free some space where runs are kept; the last checkpoint is intact."
        return Failure("disk_full", "The disk is full.", hint)
    message = f"{type(error).__name__}: {error}"
    return Failure("internal", message, "The log of the training process says where it happened.")


def _bad_files(error: BaseException) -> Failure:
    if isinstance(error, Damaged):
        return Failure("bad_checkpoint", str(error), "Resume from an earlier checkpoint.")
    return Failure(
        "bad_model",
        f"The base model's tokenizer broke off: {error}",
        "Correct the regular expressions of its tokenizer.json, or choose another base model.",
        "base_model",
    )


def is_panic(error: BaseException) -> bool:
    """Whether Rust code broke off, which here is a tokenizer's: such an error is no Exception, and
    its class can't be imported.
    """
    return type(error).__name__ == "PanicException"


def _bad_spec(error: ValidationError) -> Failure:
    first = error.errors()[0]
    param = ".".join(map(str, first["loc"]))
    return Failure("bad_spec", f"{param}: {first['msg']}", "Correct this field.", param)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Also told by name and text: torch raises its own classes, and
    RuntimeError on a CPU.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _disk_full(error: BaseException) -> bool:
    """safetensors hides the error number in its text."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error) or "os error 28" in str(error)
