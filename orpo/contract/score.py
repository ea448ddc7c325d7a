"""Scoring answers with a reward model: the files of `python -m orpo.score`, and what a checkpoint
says of its judge.

    python -m orpo.score CHECKPOINT ROWS OUT [PROGRESS]

CHECKPOINT is a committed checkpoint folder of a run of method `reward`. ROWS has one JSON object a
line, of one of these shapes; `prompt` and answers are each a text, a message or a list of messages:

    {"id": ..., "prompt": ..., "answers": [...], "tools": [...]}      one or more answers
    {"id": ..., "prompt": ..., "chosen": ..., "rejected": ...}        a pair: two answers

`id` and `tools` may be left out; `id` is any JSON value and comes back unchanged. OUT gets one
object a line, in the order of ROWS (see `Scored`); it is whole or not there. Name paths for OUT and
PROGRESS that do not exist: a sandbox lets the verb write new files only. PROGRESS, where it is
given, is rewritten with `{"stage", "done", "total", "unit"}` meanwhile (the unit is rows). The last
line on stdout is a `Summary`, or an error as every verb prints it: `bad_data` names the line of a
row that has no such shape, `bad_checkpoint` a damaged folder, and `bad_spec` one that holds no
reward model.

A reward depends on the prompt and the answer alone: computed in fp32, it is the same to 1e-5
(relative to the larger of 1 and the reward) whatever other rows the file holds. Rewards of one
model compare with each other, also between prompts of the same kind; their zero has no meaning
unless the run had a `center`.

Imports no torch: services read and write these files.
"""

from typing import Any, TypedDict


class Problem(TypedDict):
    """Why an answer has no reward: a reason of `orpo.prepare` (such as `prompt_too_long`,
    `template` or `special_token`), and a sentence.
    """

    code: str
    message: str


class Scored(TypedDict):
    """A line of OUT. The lists have one entry an answer; of a pair, the chosen one comes first.

    `line` counts the lines of ROWS from 1. An answer without a reward is None in `rewards` and says
    why in `problems`. `truncated` marks answers that were cut to the run's `max_length`; the token
    that ends the turn is kept. `tokens` counts prompt and answer as they were read.
    """

    line: int
    id: Any
    rewards: list[float | None]
    tokens: list[int | None]
    truncated: list[bool]
    problems: list[Problem | None]


class Summary(TypedDict):
    """What the verb prints. `mean` and `sd` are over the scored answers (None where there are
    none); `pairs` counts the rows with both `chosen` and `rejected` scored, and `accuracy` is the
    share of them whose chosen answer has the higher reward (a draw counts as half).
    """

    rows: int
    answers: int
    scored: int
    truncated: int
    mean: float | None
    sd: float | None
    pairs: int
    accuracy: float | None
    weights_sha256: str


class Judge(TypedDict):
    """`rundir.JUDGE` of a checkpoint: how a reward model reads a conversation.

    Names and values of the settings are those of the run. Its tokenizer lies beside its weights, in
    `adapter/` or `model/`. `pad_token_id` is never the token that ends a turn, so that transformers
    finds the end of a padded row.
    """

    max_length: int
    overlong: str
    special_tokens: str
    reasoning: str
    pad_token_id: int
