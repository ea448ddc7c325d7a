"""`python -m orpo.train RUN_DIR`: the training of one policy, from its spec to its last checkpoint.

Runs alone or as one of the ranks that `orpo.ranks` starts. Writes only into its run directory (see
docs); knows no job queue and no database. Its exit status is 0, 75 (stopped on request) or one of
`failures.EXIT_STATUS`.

Shapes: P pairs of a step, H held-out pairs, K columns of `series.COLUMNS`, R ranks.
"""

import math
import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from orpo.contract import rundir
from orpo.contract.failures import STOPPED, Code, Failure, explain, refuse_nan
from orpo.contract.numbers import Phase, Series
from orpo.contract.rundir import MEETING, RANK, STORE, Event, Level, Split
from orpo.contract.spec import RunSpec, read_spec
from orpo.layers import native
from orpo.loss import series
from orpo.model import policy
from orpo.process import parallel
from orpo.process.deterministic import make_deterministic, random_state
from orpo.process.stopping import Stopping
from orpo.run import learners, probe, reference, speed
from orpo.run.checkpoint import Checkpoints, Progress, keep_last, resume
from orpo.run.evaluate import evaluate, pair_records
from orpo.run.journal import Journal
from orpo.run.samples import samples
from orpo.strategies.adopt import adopt
from orpo.strategies.optimizer import rate
from orpo.tokens import data, embedded
from orpo.tokens.pack import plan
from orpo.tokens.tokenize import FACTS, Example
from orpo.tokens.work import token_budget

EVALUATIONS = 5  # if the spec names no interval; the same for checkpoints
EVALUATE_EVERY_AT_LEAST = 10  # steps: greedy samples cost as much as many steps


# What a process does with its run: `(spec, run_dir, group, journal, stopping)`, to an exit status.
Work = Callable[[RunSpec, Path, parallel.Single, Journal, Stopping], int]


def main(run_dir: Path, use: Callable[["Run"], int] | None = None) -> int:
    """Train, or call `use` with the run; results and errors are in its events. Returns the exit
    status.
    """
    return process(run_dir, lambda *of_run: (use or Run.train)(Run(*of_run)))


def process(run_dir: Path, work: Work) -> int:
    """Read the spec, join the other ranks, and do the work; errors are in the run's events.
    Returns the exit status.
    """
    stopping = Stopping().listen()
    with Journal(run_dir, leads=os.environ.get(RANK, "0") == "0") as journal:
        try:
            spec = read_spec(run_dir)
            _refuse_unknown(run_dir)
            group = parallel.start(spec.method, _meeting(spec, run_dir))
            status = work(spec, run_dir, group, journal, stopping)
            group.close()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  every failure is logged, panics included
            traceback.print_exc()
            failure = explain(error)
            status = failure.exit_status
            with suppress(OSError):  # a full disk: rely on the exit status
                journal.failure(failure)
    return status


def _meeting(spec: RunSpec, run_dir: Path) -> Path | str:
    """Where the ranks find each other: a file of one machine, or an address that its launcher has
    written.
    """
    return run_dir / STORE if spec.method.nodes == 1 else (run_dir / MEETING).read_text().strip()


def _refuse_unknown(run_dir: Path) -> None:
    if names := rundir.unknown(run_dir):
        message = f"The run directory holds `{names[0]}`, which this release does not know."
        hint = "Train with the release that wrote it, or in a folder of its own."
        raise Failure(Code.BAD_SPEC, message, hint)


class Run:
    """One run in memory: the policy, its data and its progress."""

    def __init__(
        self,
        spec: RunSpec,
        run_dir: Path,
        group: parallel.Single,
        journal: Journal,
        stopping: Stopping,
    ):
        self.spec, self.method, self.run_dir = spec, spec.method, run_dir
        self.group, self.journal, self.stopping = group, journal, stopping
        make_deterministic(spec.seed, spec.threads, group)
        self.policy, self.tokenizer = policy.load(spec)
        learners.extend(self.policy, spec.method)
        torch.nn.Module.to(self.policy, group.device)
        self.data = data.load(spec, self.tokenizer)
        # Until the first step or the load of a checkpoint, the policy still equals its base.
        if spec.method.needs_reference:
            self.data = reference.measure(self.policy, self.data, spec, group, stopping)
        self.weights = speed.Weights.of(self.policy)
        prompts = [] if spec.resume_from else self._probe()
        self.strategy = adopt(self.policy, spec, group)
        self.tokens_E = self.data.train.examples.tokens_E(rejected=self.method.contrasts).tolist()
        self.steps, self.steps_per_epoch = data.steps(len(self.tokens_E), spec.method)
        planned = partial(plan, self.tokens_E, spec.method.batch_size, spec.seed)
        self.plan = lru_cache(maxsize=1)(planned)  # of the current epoch
        self.clock = speed.Clock(learners.phases(self.method))
        self.learner = learners.make(
            spec, self.strategy, self.tokenizer, self.data.max_length, self.clock, stopping
        )
        fingerprint = data.fingerprint(spec)
        self.progress = Progress()
        if spec.resume_from:
            self.progress = resume(spec.resume_from, fingerprint, self.strategy)
            self.learner.restore(self.progress.learner)
            prompts = probe.read(spec.resume_from)  # which `resume` has verified
        self.saved_at, self.saved = self.progress.step, spec.resume_from
        self.latest: dict[str, Any] = {}
        self.checkpoints = Checkpoints(run_dir, spec, fingerprint, self.tokenizer, prompts)

    def _probe(self) -> list[probe.Prompt]:
        """The prompts that check whether an engine serves this run, with the base's log-probs; none
        of a reward model, which no engine serves.
        """
        if self.method.scores:
            return []
        rows = (self.data.held_out if self.held_out else self.data.train).rows
        rule = self.method.special_tokens
        limits = self.data.max_length, rule, embedded.size(self.spec.base_model_path)
        prompts = probe.choose(rows, self.tokenizer, *limits)
        served = policy.as_served(self.policy, self.spec)
        return probe.with_base(served, prompts, self.method.precision)

    @property
    def held_out(self) -> Sequence[Example]:
        return self.data.held_out.examples

    # --- the loop ---------------------------------------------------------------------------------

    @property
    def evaluate_every(self) -> int:
        """Steps between evaluations."""
        share = math.ceil(self.steps / EVALUATIONS)
        return self.method.eval_every or max(EVALUATE_EVERY_AT_LEAST, share)

    def train(self) -> int:
        """Evaluate, save and step until the last step, or until asked to stop."""
        self.announce()
        save_every = self.method.checkpoint_every or math.ceil(self.steps / EVALUATIONS)
        while True:
            stop = self.group.any(self.stopping.requested)
            if not stop and self._due(self.evaluate_every, self.progress.evaluated):
                with self.clock.phase(Phase.EVALUATION):
                    stop = not self.evaluate()
            if stop or self._due(save_every, self.saved_at):
                with self.clock.phase(Phase.CHECKPOINT):
                    self._save()
            if stop:
                return self.end(
                    Event.STOPPED, "Stopped on request; the run can be resumed.", STOPPED
                )
            if self.progress.step == self.steps:
                return self.end(Event.FINISHED, "Training has finished.", 0)
            self.step()

    def _due(self, every: int, last: int) -> bool:
        """Whether something that is done every `every` steps, and was last done at step `last`, is
        due now.
        """
        step = self.progress.step
        return step != last and (step % every == 0 or step == self.steps)

    def step(self) -> None:
        """One step over one batch of examples, of which this rank computes its share; no step if
        the learner was asked to stop.
        """
        started = time.perf_counter()
        step = self.progress.step + 1
        examples = self._examples(step)
        learning_rate = rate(step, self.steps, self.method)
        learned = self.learner.learn(step, examples, learning_rate)
        if learned is None:
            return
        refuse_nan(step, learned.values[Series.LOSS], learned.norm)  # before anything is saved
        trained_tokens = self.progress.trained_tokens + learned.tokens
        self.progress = replace(
            self.progress,
            step=step,
            trained_tokens=trained_tokens,
            learner=self.learner.state(),
        )
        values = learned.values | {
            Series.GRAD_NORM: learned.norm,
            Series.LR: learning_rate,
            Series.EPOCH: step / self.steps_per_epoch,
            Series.TRAINED_TOKENS: trained_tokens,
        }
        values |= self.clock.read()
        step_s = time.perf_counter() - started
        values |= speed.series(
            learned.tokens, len(examples), step_s, self.weights, self.group.world
        )
        self.journal.metrics(step, Split.TRAIN, values)
        self.latest = {Split.TRAIN: values}

    def _examples(self, step: int) -> list[Example]:
        """The examples of a step: the order of an epoch follows from seed and epoch alone."""
        epoch, at = divmod(step - 1, self.steps_per_epoch)
        return [self.data.train.examples[index] for index in self.plan(epoch)[at]]

    # --- between steps ----------------------------------------------------------------------------

    def evaluate(self) -> bool:
        """Measure the held-out pairs and write samples; False when interrupted by a stop."""
        step = self.progress.step
        if self.held_out:
            rows_HK = evaluate(self.strategy, self.held_out, self.method, self.stopping)
            if rows_HK is None:
                return False
            more = self.learner.measure(self.held_out)
            if more is None:
                return False
            values = series.summarise(rows_HK, self.method) | more
            self.latest[Split.HELD_OUT] = values
            self.journal.metrics(step, Split.HELD_OUT, values)
            for record in pair_records(step, self.held_out, rows_HK):
                self.journal.pair(record)
            self._sample(step)
            message = f"Evaluated at step {step}."
            self.journal.event(Event.EVALUATED, message, step=step, metrics=values)
        self.progress = replace(self.progress, evaluated=step)
        return True

    def _sample(self, step: int) -> None:
        takes_part = self.group.leads or self.strategy.lockstep
        if takes_part and not self.method.scores:
            asked = self.data.held_out.first(self.method.n_samples)
            for answer in samples(self.strategy, self.tokenizer, asked, self.stopping):
                self.journal.sample({"step": step, **answer})

    def _save(self) -> None:
        """Commit a checkpoint, unless this step already has one."""
        if self.progress.step == self.saved_at:
            return
        random_states_R = self.group.gather(random_state())
        tensors = self.strategy.tensors()
        self.journal.sync()
        if self.group.leads:
            saved = self.checkpoints.save(self.strategy, tensors, self.progress, random_states_R)
            self.journal.event(
                Event.CHECKPOINT,
                f"Saved {saved.path.name}.",
                step=self.progress.step,
                path=str(saved.path.relative_to(self.run_dir)),
                sha256=saved.manifest.weights_sha256,
                size_bytes=saved.manifest.size_bytes,
                metrics=self.latest,
            )
            keep_last(self.run_dir, self.method.keep_checkpoints)
        self.group.barrier()
        self.saved_at = self.progress.step
        self.saved = rundir.checkpoint(self.run_dir, self.saved_at)

    def announce(self) -> None:
        start = Event.STARTED if self.spec.resume_from is None else Event.RESUMED
        message = f"{start.capitalize()} at step {self.progress.step} of {self.steps}."
        if stripped := self.data.train.stats["reasoning_stripped"]:
            message += f" {stripped} pairs are trained without the thoughts of their answers."
        if self.method.scores:
            message += " A reward model writes no text, so the run has no samples."
        self.journal.event(
            start,
            message,
            steps=self.steps,
            steps_per_epoch=self.steps_per_epoch,
            pairs=len(self.data.train.examples),
            held_out_pairs=len(self.held_out),
            parameters=self.weights.total,
            trainable_parameters=self.weights.trained,
            strategy=self.method.strategy,
            token_budget=token_budget(self.method, self.group),
            longest=max(self.tokens_E),
            first_step=self.progress.step + 1,
            max_length=self.data.max_length,
            dropped=dict(self.data.train.dropped),
            reasons=self.data.train.stats["reasons"],
            **{fact: self.data.train.stats[fact] for fact in FACTS},
            processes=self.group.world,
            threads=torch.get_num_threads(),
            # Whether the CPU computes with `native.cpp`, whose steps take about a fifth less time.
            native=self.group.device.type == "cpu" and native.library() is not None,
        )
        if problem := policy.why_unpacked(self.policy):
            message = f"Each sequence is computed alone, which takes longer: {problem}."
            self.journal.event(Event.UNSHARED, message, level=Level.WARN)

    def end(self, type_: Event, message: str, status: int) -> int:
        step = self.progress.step
        name = os.path.relpath(self.saved, self.run_dir) if self.saved else None
        data: dict[str, Any] = {"step": step, "checkpoint": name, "exit_code": status}
        if status:
            data["reason"] = "sigterm"
        self.journal.event(type_, message, **data)
        self.journal.sync()
        return status
