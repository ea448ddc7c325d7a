"""`python -m orpo.likelihoods RUN_DIR`: the log-probs of the answers of pairs, under any model.

`orpo.contract.likelihoods` describes the files. Pairs are tokenised and packed as in a run of ORPO
with the same settings, so that the numbers are those of the run's own evaluation. Rows are read and
measured in groups, so that memory does not grow with the file.

Knows policies, rows and batches; knows nothing of who asks.

Shapes: S = 2B sequences of a batch (chosen of pair b at 2b, rejected at 2b + 1).
"""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from orpo.contract.failures import Code
from orpo.contract.hyperparameters import Hyperparameters
from orpo.contract.likelihoods import LIKELIHOODS, READING, Likelihood, Summary
from orpo.contract.manifest import verify
from orpo.contract.methods import Orpo
from orpo.contract.score import Problem
from orpo.contract.spec import RunSpec, read_spec
from orpo.layers import kernels
from orpo.loss.loss import mean_logps
from orpo.model.policy import Policy, load_registered, load_saved, token_logps
from orpo.process.deterministic import make_deterministic
from orpo.process.parallel import Single
from orpo.process.verbs import answer
from orpo.rows.formats import Pair
from orpo.tokens import embedded
from orpo.tokens.data import Rows, within_context
from orpo.tokens.dropped import Problems
from orpo.tokens.example import Example
from orpo.tokens.templates import load_tokenizer
from orpo.tokens.tokenize import tokenize_pairs
from orpo.tokens.work import deal

PAIRS_AT_ONCE = 256
NO_NUMBER = Problem(
    code=Code.NAN, message="Its log-probs are not finite: the model's weights are damaged."
)


class Model(NamedTuple):
    """A policy on the device of `group`, its tokenizer, and how it reads pairs."""

    policy: Policy
    tokenizer: PreTrainedTokenizerBase
    n_embedded: int | None
    method: Hyperparameters
    group: Single


def load(spec: RunSpec) -> Model:
    """The checkpoint of a spec as it was saved, or its base, in the method's precision.

    Raises Damaged if the checkpoint is not intact, and what `load_registered` raises.
    """
    group = Single()
    make_deterministic(spec.seed, spec.threads, group)
    if spec.resume_from is None:
        policy = load_registered(spec, spec.method.precision)
    else:
        verify(spec.resume_from)
        policy = load_saved(spec, spec.resume_from)
        kernels.install_lora(policy)  # rounds in bf16 as the run did
    torch.nn.Module.to(policy, group.device)
    base = spec.base_model_path
    reading = {name: getattr(spec.method, name) for name in (*READING, "token_budget")}
    method = within_context(Orpo.model_validate(reading), base)
    return Model(policy, load_tokenizer(base), embedded.size(base), method, group)


def measure(model: Model, pairs: Sequence[Pair]) -> Iterator[Likelihood]:
    """The log-probs of pairs as they are computed, those that can't be measured first."""
    problems = Problems()
    examples, _, _ = tokenize_pairs(
        pairs, model.tokenizer, model.method, model.n_embedded, problems
    )
    for line, problem in problems.of.items():
        yield Likelihood(line=line, chosen=None, rejected=None, problem=problem)
    yield from _measured(model, examples)


@torch.no_grad()
def _measured(model: Model, examples: Sequence[Example]) -> Iterator[Likelihood]:
    method, group = model.method, model.group
    for work in deal(examples, method, group, rejected=True):
        batch = work.batch.to(group.device)
        logps_S = mean_logps(token_logps(model.policy, batch, method.precision), batch).tolist()
        sides = zip(logps_S[0::2], logps_S[1::2], strict=True)
        for place, (chosen, rejected) in zip(work.places, sides, strict=True):
            yield _likelihood(examples[place].line, chosen, rejected)


def _likelihood(line: int, chosen: float, rejected: float) -> Likelihood:
    if math.isfinite(chosen) and math.isfinite(rejected):
        return Likelihood(line=line, chosen=chosen, rejected=rejected, problem=None)
    return Likelihood(line=line, chosen=None, rejected=None, problem=NO_NUMBER)


def measure_rows(spec: RunSpec, out: Path) -> Summary:
    """Measure all rows of a spec, and write each result to `out` at once.

    Raises Failure(`bad_data`) if the file does not hold accepted rows, OSError, and what `load`
    raises.
    """
    model, summary = load(spec), Summary(pairs=0, measured=0)
    rows = iter(Rows(spec.train_path))
    with out.open("w", encoding="utf-8") as file:
        while pairs := list(islice(rows, PAIRS_AT_ONCE)):
            for found in measure(model, pairs):
                file.write(json.dumps(found) + "\n")
                file.flush()
                summary["pairs"] += 1
                summary["measured"] += found["problem"] is None
    return summary


def main(run_dir: Path) -> int:
    """Measure and print the summary; see `orpo.contract.likelihoods`."""

    def work() -> dict[str, Any]:
        return dict(measure_rows(read_spec(run_dir), run_dir / LIKELIHOODS))

    return answer(work)
