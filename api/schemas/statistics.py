"""Sizes of a file's pairs on the wire."""

from typing import Any, Literal

from pydantic import BaseModel


class Spread(BaseModel):
    """How numbers of tokens are spread over the sampled pairs. `histogram` counts pairs; its first
    bin begins at 0, and each is `bin_width` tokens wide.
    """

    mean: float
    p50: int
    p95: int
    max: int
    bin_width: int
    histogram: list[int]


class TokensBySide(BaseModel):
    """`prompt` is what both answers share; `sequence` is the longer of a pair's two sequences.
    Nothing is cut. Null where no pair could be tokenised.
    """

    prompt: Spread | None
    chosen: Spread | None
    rejected: Spread | None
    sequence: Spread | None


class LengthRepair(BaseModel):
    """A value of `max_length`, and how many sampled pairs are longer than that."""

    max_length: int
    longer: int


class CutPairs(BaseModel):
    """Sampled pairs `longer` than `max_length`, and those of them that are `trained`, cut, with the
    `lines` of the first hundred of these.

    `message` says what that means, and is null if no pair is longer. `repairs` are lengths under
    which no pair, or at most one in a hundred, is longer, as far as the base model reads so much.
    """

    longer: int
    trained: int
    lines: list[int]
    message: str | None
    repairs: list[LengthRepair]


class LeftOutPairs(BaseModel):
    """Sampled pairs that a run would leave out for one reason: the lines of the first hundred, what
    is wrong with the first of them, and what to do.
    """

    code: str
    pairs: int
    lines: list[int]
    message: str
    hint: str


class PairsByTurns(BaseModel):
    """How many sampled pairs have so many turns, the chosen answer included and system messages
    not; 20 stands for 20 or more.
    """

    turns: int
    pairs: int


class Speed(BaseModel):
    """The newest estimate that was measured with this base."""

    estimate: str
    tokens_per_s: float
    device: str


class JobSize(BaseModel):
    """What a job would do with the whole file, if its pairs are like the sample. `train_s` is null
    until an estimate was measured with this base.
    """

    pairs: int
    held_out_pairs: int
    steps: int
    tokens: int
    train_s: float | None
    speed: Speed | None


class FileStatistics(BaseModel):
    """Sizes of a file's pairs for a base model: counted on `sampled` of its `rows` accepted rows,
    which a fixed seed draws.

    `dropped` counts the sampled pairs that a run would leave out, by reason, and `left_out` names
    them; `roles` counts those with a message of each role. `saved_by_sharing` is the share of
    tokens that need not be computed because a prompt is computed once for both answers.
    """

    object: Literal["file.statistics"] = "file.statistics"
    file_id: str
    model: str
    rows: int
    sampled: int
    max_length: int
    template: str
    tokens: TokensBySide
    cut: CutPairs
    dropped: dict[str, int]
    left_out: list[LeftOutPairs]
    turns: list[PairsByTurns]
    roles: dict[str, int]
    saved_by_sharing: float | None
    job: JobSize | None

    @classmethod
    def of(
        cls, file_id: str, model: str, rows: int, found: dict[str, Any], speed: Speed | None
    ) -> "FileStatistics":
        """From what the core has counted, and the speed that an estimate has measured."""
        job = found["job"]
        if job is not None:
            train_s = job["tokens"] / speed.tokens_per_s if speed else None
            job = {**job, "speed": speed, "train_s": train_s}
        return cls(file_id=file_id, model=model, rows=rows, **{**found, "job": job})
