"""Checkpoints: writes one, and continues a run from one, bit for bit.

A folder holds the result for users (adapter/ or model/, with the tokenizer), the state that only
the run needs (state/), and the probe. Knows torch and PEFT; `orpo.contract.manifest` does the
commit itself.
"""

import errno
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from orpo.contract import manifest, rundir
from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Precision
from orpo.contract.manifest import Manifest
from orpo.contract.numbers import Series
from orpo.contract.rundir import (
    ADAPTER,
    CHECKPOINTS,
    EVENTS,
    MODEL,
    REGISTERED,
    STATE,
    Event,
    Split,
)
from orpo.contract.score import Judge
from orpo.contract.spec import RunSpec
from orpo.layers.peft import PeftModel
from orpo.model import value_head
from orpo.model.policy import DTYPES, Policy, causal_lm
from orpo.model.score_head import has_score, score_head
from orpo.process.deterministic import set_random_state
from orpo.run import probe
from orpo.strategies.strategy import Replicated
from orpo.tokens.data import within_context

FREE_SPACE_FACTOR = 1.2
# In a checkpoint's state folder, which only the core reads.
TENSORS, RANDOM, POSITION = "training.safetensors", "random.safetensors", "progress.json"
RESUMABLE_KEPT = 2  # older ones keep only their weights


@dataclass(frozen=True)
class Progress:
    """The progress of a run: everything that decides its next step except weights and optimizer.

    The sampler's position is `step`: the order of an epoch follows from seed and epoch alone.
    `evaluated` is the step of the last complete evaluation, or -1. `learner` is the state of
    `orpo.run.learner`.
    """

    step: int = 0
    evaluated: int = -1
    trained_tokens: int = 0
    learner: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """A committed checkpoint."""

    path: Path
    manifest: Manifest


class Checkpoints:
    """Writes one run's checkpoints, on the rank that leads."""

    def __init__(
        self,
        run_dir: Path,
        spec: RunSpec,
        fingerprint: str,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[probe.Prompt],
    ):
        self.run_dir, self.spec, self.fingerprint = run_dir, spec, fingerprint
        self.tokenizer, self.prompts = tokenizer, prompts
        for left_over in (run_dir / CHECKPOINTS).glob("*.tmp"):
            shutil.rmtree(left_over)

    def save(
        self,
        strategy: Replicated,
        tensors: dict[str, Tensor],
        progress: Progress,
        random_states_R: Sequence[Tensor],
    ) -> Saved:
        """Write a temporary folder, hash it, rename it. If this fails, the previous checkpoint
        stays intact.

        Raises OSError(ENOSPC) before writing if less than 1.2 times the needed space is free.
        """
        final = rundir.checkpoint(self.run_dir, progress.step)
        temporary = final.with_name(f"{final.name}.tmp")
        temporary.mkdir(parents=True)
        try:
            _check_space(temporary, tensors)
            self._write(temporary, strategy.policy, tensors, progress, random_states_R)
            written = self._manifest(temporary, strategy, progress)
            manifest.commit(temporary, written, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        prune(self.run_dir)
        return Saved(final, written)

    def _write(
        self,
        folder: Path,
        policy: Policy,
        tensors: dict[str, Tensor],
        progress: Progress,
        random_states_R: Sequence[Tensor],
    ) -> None:
        weights = folder / weights_folder(policy)
        save_weights(policy, weights, self.spec.method.precision, tensors)
        self.tokenizer.save_pretrained(weights)
        if self.spec.base_sha256:
            known = {"sha256": self.spec.base_sha256, "files": self.spec.base_files}
            (folder / rundir.BASE).write_text(json.dumps(known))
        if self.spec.method.scores:
            (folder / rundir.JUDGE).write_text(json.dumps(self._judge()))
        state = folder / STATE
        state.mkdir()
        save_file(tensors, state / TENSORS)
        save_file({str(r): s for r, s in enumerate(random_states_R)}, state / RANDOM)
        (state / POSITION).write_text(json.dumps(asdict(progress)))

    def _judge(self) -> Judge:
        method, pad = self.spec.method, cast(int, self.tokenizer.pad_token_id)
        return Judge(
            max_length=within_context(method, self.spec.base_model_path).max_length,
            overlong=method.overlong,
            special_tokens=method.special_tokens,
            reasoning=method.reasoning,
            pad_token_id=pad,
        )

    def _probe(self, folder: Path, strategy: Replicated, weights_sha256: str) -> dict[str, Any]:
        """The content of `probe.json`; a reward model has no prompts, as no engine serves it."""
        if self.spec.method.scores:
            return {"prompts": [], "hostile": None, "weights_sha256": weights_sha256}
        hostile = probe.hostile(self.tokenizer)
        precision = self.spec.method.precision
        policy = strategy.whole(folder)
        return probe.report(policy, self.prompts, precision, weights_sha256, hostile)

    def _manifest(self, folder: Path, strategy: Replicated, progress: Progress) -> Manifest:
        files = manifest.inventory(folder)
        weights_sha256 = manifest.weights_digest(files, weights_folder(strategy.policy))
        content = self._probe(folder, strategy, weights_sha256)
        (folder / rundir.PROBE).write_text(json.dumps(content))
        return Manifest(
            step=progress.step,
            generation=self.spec.generation,
            spec_sha256=self.fingerprint,
            weights_sha256=weights_sha256,
            resumable=True,
            files=files | manifest.inventory(folder, only=rundir.PROBE),
        )


def resume(
    folder: Path,
    fingerprint: str,
    strategy: Replicated,
) -> Progress:
    """Verify a checkpoint and continue from it: weights, optimizer, random state, position.

    Raises Damaged if it is not intact. Raises Failure(`not_resumable`) if it is intact, but keeps
    only its weights or belongs to a run with other data or settings. If the number of ranks has
    grown, a rank without a saved random state keeps its own.
    """
    found = manifest.verify(folder)
    if not found.resumable:
        raise Failure(
            Code.NOT_RESUMABLE,
            f"{folder.name} keeps only its weights.",
            "Resume from a later checkpoint.",
            "resume_from",
        )
    if found.spec_sha256 != fingerprint:
        raise Failure(
            Code.NOT_RESUMABLE,
            f"{folder.name} belongs to a run with other data or settings.",
            "Resume with those it was made with, or start a run of its own.",
            "resume_from",
        )
    state = folder / STATE
    strategy.restore(load_file(state / TENSORS))
    random_states = load_file(state / RANDOM)
    if str(strategy.group.rank) in random_states:
        set_random_state(random_states[str(strategy.group.rank)])
    return Progress(**json.loads((state / POSITION).read_text()))


def prune(run_dir: Path) -> None:
    """Delete the optimizer's state of all but the newest two checkpoints; weights stay.

    Under a worker only registered checkpoints count: a run may save more after its worker froze or
    died, and the newest registered one is then resumed.

    The manifest changes first; until the files are deleted, it does not list some of them.
    """
    known = registered(run_dir)
    counted = [
        folder
        for folder in rundir.checkpoints(run_dir)
        if known is None or rundir.step_of(folder) <= known
    ]
    for folder in counted[:-RESUMABLE_KEPT]:
        try:
            _let_state_go(folder)
        except (FileNotFoundError, manifest.Damaged):
            if folder.exists():  # otherwise the platform has removed it meanwhile
                raise


def _let_state_go(folder: Path) -> None:
    found = manifest.read(folder)
    if found.resumable:
        kept = {name: f for name, f in found.files.items() if not name.startswith(f"{STATE}/")}
        manifest.write(folder, replace(found, resumable=False, files=kept))
        shutil.rmtree(folder / STATE)


def keep_last(run_dir: Path, keep: int) -> None:
    """Remove all checkpoints but the last `keep` (at least two) and the best; 0 removes none.

    The best has the lowest held-out loss in the run's events. Under a worker this removes nothing:
    the platform tracks the checkpoints, and removes those that it does not need.
    """
    if keep == 0 or registered(run_dir) is not None:
        return
    older = rundir.checkpoints(run_dir)[: -max(keep, RESUMABLE_KEPT)]
    losses = _held_out_losses(run_dir)
    best = min(losses, key=losses.__getitem__, default=None)
    for folder in older:
        if rundir.step_of(folder) != best:
            shutil.rmtree(folder)


def _held_out_losses(run_dir: Path) -> dict[int, float]:
    """The held-out loss of each saved step that has one."""
    losses = {}
    for line in (run_dir / EVENTS).read_bytes().splitlines():
        if f'"{Event.CHECKPOINT}"'.encode() in line:
            with suppress(ValueError, KeyError):  # cut off by a kill, or another event
                data = json.loads(line)["data"]
                losses[data["step"]] = data["metrics"][Split.HELD_OUT][Series.LOSS]
    # Values that were not finite were written as null.
    return {step: loss for step, loss in losses.items() if loss is not None}


def registered(run_dir: Path) -> int | None:
    """The newest step that the worker has registered (0: none yet); None without a worker."""
    try:
        return int((run_dir / REGISTERED).read_text())
    except FileNotFoundError:
        return None


def weights_folder(policy: Policy) -> str:
    """The subfolder of a checkpoint that holds a policy's weights."""
    return ADAPTER if isinstance(policy, PeftModel) else MODEL


def save_weights(
    policy: Policy, folder: Path, precision: Precision, tensors: dict[str, Tensor]
) -> None:
    """Safetensors as PEFT or transformers load them; a whole model in its compute precision.

    Trained weights come from `tensors` (`weight/NAME`, fp32), even if this rank holds only a part.
    """
    trained = {
        name.removeprefix("weight/"): tensor
        for name, tensor in tensors.items()
        if name.startswith("weight/")
    }
    if isinstance(policy, PeftModel):
        named = dict(policy.named_parameters(remove_duplicate=False))
        by_parameter = {id(p): trained[name] for name, p in named.items() if name in trained}
        # A tied weight is stored under all of its names: PEFT looks for each of them.
        weights = {n: by_parameter[id(p)] for n, p in named.items() if id(p) in by_parameter}
        policy.save_pretrained(str(folder), state_dict=weights, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # an empty model card
        return
    lm = causal_lm(policy)
    dtype = DTYPES[precision]
    held: dict[str, Tensor] = lm.state_dict(keep_vars=True)
    by_parameter = {id(p): trained[name] for name, p in lm.named_parameters() if name in trained}
    rounded: dict[int, Tensor] = {}  # by parameter: tied weights stay one tensor
    wide = {id(score_head(lm).weight)} if has_score(lm) else set()
    weights = {
        name: rounded.setdefault(
            id(value),
            by_parameter.get(id(value), value.detach()).to(
                torch.float32 if id(value) in wide else dtype
            ),
        )
        for name, value in held.items()
        if not name.startswith(f"{value_head.NAME}.")  # only the run's state has it
    }
    lm.save_pretrained(folder, state_dict=weights)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def _check_space(folder: Path, tensors: dict[str, Tensor]) -> None:
    trained = sum(t.nbytes for name, t in tensors.items() if name.startswith("weight/"))
    state = sum(t.nbytes for t in tensors.values())  # the weights, and the optimizer's memory
    needed = int(FREE_SPACE_FACTOR * (state + trained))  # and the weights again, for users
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{free} bytes are free, a checkpoint needs {needed}")
