"""Log-probs of both answers of pairs under a model: the files of `python -m orpo.likelihoods`.

    python -m orpo.likelihoods RUN_DIR

RUN_DIR holds a `SPEC` (`orpo.contract.spec.RunSpec`), and nothing else is needed of a run. It names
the base, the checkpoint that is measured (`resume_from`; without one, the base itself), and the
pairs: all rows of `train_path`. Of the method only `READING` and what says how the weights were
trained count.

`LIKELIHOODS` in RUN_DIR gets one `Likelihood` a line as soon as it is computed, in any order, so
that a reader loses little when the verb is ended. The last line on stdout is a `Summary`, or an
error as every verb prints it.

A log-prob depends on the weights and the pair alone: computed in fp32, it is the same to 1e-5
whatever other pairs the file holds. In bf16 it may differ by rounding where pairs are packed with
other ones. A model that was trained on a base in 4 bits is measured on the base as it is served, in
16 bits.

Imports no torch: services read these files.
"""

from typing import TypedDict

from orpo.contract.score import Problem

LIKELIHOODS = "likelihoods.jsonl"

# The settings of a run that decide the log-probs of a pair: its text in tokens, and the precision.
READING = ("max_length", "overlong", "special_tokens", "turns", "reasoning", "precision")


class Likelihood(TypedDict):
    """A line of `LIKELIHOODS`: the mean log-prob of a token of each answer, in nats.

    `line` is the pair's, in the uploaded file. Both numbers are None where the pair can't be
    measured; `problem` says why (a reason of `orpo.prepare`, such as `prompt_too_long`).
    """

    line: int
    chosen: float | None
    rejected: float | None
    problem: Problem | None


class Summary(TypedDict):
    """What the verb prints: how many pairs there are, and how many were measured."""

    pairs: int
    measured: int
