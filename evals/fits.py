"""Which suites the rows of a prompt file fit: each suite reads its own fields."""

from collections.abc import Callable, Mapping
from typing import Any

from evals import alpaca_eval, mt_bench
from evals.prompts import BadPrompt

# Suites that ask any prompt: their rows need no other field.
ANY = ("custom", "reward", "diversity")
Row = Mapping[str, Any]


def _ifeval(row: Row) -> None:
    if "instruction_id_list" not in row:
        raise BadPrompt("A row needs `instruction_id_list` and `kwargs`.")
    # The language detector and the tokenizer take a second to import.
    from evals.ifeval.score import read  # noqa: PLC0415

    read(row)


READERS: dict[str, Callable[[Row], object]] = {
    "ifeval": _ifeval,
    "alpaca_eval": alpaca_eval.read,
    "mt_bench": mt_bench.read,
}


class Fits:
    """Finds out which suites fit, one row at a time; remembers a hash of each reference output."""

    def __init__(self) -> None:
        # For each suite that does not fit: why, with the line of the first row at fault.
        self.unfit: dict[str, str] = {}
        self._outputs: dict[int, tuple[int, int]] = {}

    @property
    def suites(self) -> list[str]:
        """The suites that all rows so far fit."""
        return [*ANY, *(name for name in READERS if name not in self.unfit)]

    def add(self, line: int, row: Any) -> None:
        """Read a row, which stands in this line of the file."""
        for name, read in READERS.items():
            if name in self.unfit:
                continue
            try:
                read(row if isinstance(row, Mapping) else {})
                if name == "alpaca_eval":
                    self._refuse_doubled(line, row)
            except BadPrompt as why:
                self.unfit[name] = f"Line {line}: {why}"

    def _refuse_doubled(self, line: int, row: Row) -> None:
        """Raise BadPrompt if an earlier row has another output for the same instruction: which of
        them is the reference can't be known.
        """
        output = hash(row["output"])
        known, first = self._outputs.setdefault(hash(row["instruction"]), (output, line))
        if known != output:
            raise BadPrompt(f"Its instruction has another `output` in line {first}. Keep one.")
