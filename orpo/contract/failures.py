"""Why a run ends badly: a code for programs, a sentence and a hint for people, an exit status.

Knows which exceptions mean what; knows nothing of training.
"""

import errno
import math
from enum import StrEnum

from pydantic import ValidationError

from orpo.contract.wording import sentence


class Code(StrEnum):
    """Why a run, a verb or a job ended badly."""

    BAD_SPEC = "bad_spec"
    BAD_DATA = "bad_data"
    BAD_MODEL = "bad_model"
    BASE_CHANGED = "base_changed"
    NAN = "nan"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    BAD_CHECKPOINT = "bad_checkpoint"
    NOT_RESUMABLE = "not_resumable"
    NOT_EXPORTABLE = "not_exportable"
    NO_PARITY = "no_parity"
    INTERNAL = "internal"
    # Detected from outside only: the process could not report these itself.
    TIMEOUT = "timeout"
    KILLED = "killed"
    LIMIT = "limit"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"


# The exit status of a core process for each code that it can report.
EXIT_STATUS = {
    Code.BAD_SPEC: 2,
    Code.BAD_DATA: 2,
    Code.BAD_MODEL: 2,
    Code.BASE_CHANGED: 2,
    Code.NAN: 3,
    Code.OUT_OF_MEMORY: 4,
    Code.DISK_FULL: 5,
    Code.BAD_CHECKPOINT: 6,
    Code.NOT_RESUMABLE: 7,
    Code.NOT_EXPORTABLE: 8,
    Code.NO_PARITY: 9,
    Code.DIVERGED: 10,
    Code.INTERNAL: 1,
}
# The two that are no failure: stopped on request (EX_TEMPFAIL: everything is saved, and the run can
# be resumed), and ended because no worker holds the run any more.
STOPPED, PAST_DEADLINE = 75, 70
# Every rank detects these by itself at the same time, so one report is enough.
FOUND_BY_ALL = (
    Code.BAD_SPEC,
    Code.BAD_DATA,
    Code.BAD_MODEL,
    Code.BAD_CHECKPOINT,
    Code.NOT_RESUMABLE,
    Code.NAN,
    Code.DIVERGED,
)


class Damaged(RuntimeError):
    """A checkpoint folder is not what its manifest says; the message says where."""


class Failure(Exception):
    """A run can't go on. `code` is a key of EXIT_STATUS; `param` names a field of the spec."""

    def __init__(self, code: Code, message: str, hint: str, param: str | None = None):
        super().__init__(message)
        self.code, self.message, self.hint, self.param = code, message, hint, param

    def __reduce__(self) -> tuple[type["Failure"], tuple[Code, str, str, str | None]]:
        """For pickle, which sends it from one process to another."""
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
            Code.NAN,
            f"At step {step} the loss is {loss} and the gradient's norm {norm}; "
            "this step was not saved.",
            "Lower the learning rate, or train in fp32. The last checkpoint is intact.",
            "learning_rate",
        )


def explain(error: BaseException) -> Failure:
    """The failure that an exception stands for; an unexpected one is `internal` and retryable."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, ValidationError):
        return _bad_spec(error)
    if isinstance(error, Damaged) or is_panic(error):
        return _bad_files(error)
    if is_out_of_memory(error):
        hint = "Lower token_budget or max_length, choose lora tuning, or take a smaller base model."
        return Failure(Code.OUT_OF_MEMORY, "The device ran out of memory.", hint)
    if _disk_full(error):
        hint = "Free some space where runs are kept; the last checkpoint is intact."
        return Failure(Code.DISK_FULL, "The disk is full.", hint)
    message = f"{type(error).__name__}: {error}"
    return Failure(
        Code.INTERNAL, message, "The log of the training process says where it happened."
    )


def _bad_files(error: BaseException) -> Failure:
    if isinstance(error, Damaged):
        return Failure(Code.BAD_CHECKPOINT, str(error), "Resume from an earlier checkpoint.")
    return Failure(
        Code.BAD_MODEL,
        f"The base model's tokenizer failed: {error}",
        "Correct the regular expressions of its tokenizer.json, or choose another base model.",
        "base_model",
    )


def is_panic(error: BaseException) -> bool:
    """Whether the error is a panic of Rust code (here: a tokenizer's). Such an error is not an
    Exception, and its class can't be imported.
    """
    return type(error).__name__ == "PanicException"


def _bad_spec(error: ValidationError) -> Failure:
    first = error.errors()[0]
    param = ".".join(map(str, first["loc"]))
    return Failure(Code.BAD_SPEC, sentence(param, first), "Correct this field.", param)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Also checks the name and the text: torch raises its own classes, and
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
