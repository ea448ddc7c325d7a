"""Weights & Biases: a run in a project; offline files where the operator has set no key.

The operator's key (ODDSMITH_WANDB_API_KEY) is used for the organisation that runs the installation.
Runs of others, and all runs without a key, are written to `trackers/JOB/PLACE` as W&B's offline
files, which `wandb sync` uploads. An offline run can't be continued: all of it is written again
at each attempt.
"""

import os
import shutil

import wandb
from wandb import Settings

from services.platform.settings import get_settings
from workers.trackers.tracker import Run, SampledAnswer, Step

COLUMNS: list[str | int] = ["step", "line", "prompt", "answer"]


class WeightsAndBiases:
    def begin(self, run: Run) -> str | None:
        self._about = run
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True)
        # By default it writes to the home directory, which a container may not write to.
        for name in ("CACHE", "CONFIG", "DATA"):
            os.environ[f"WANDB_{name}_DIR"] = str(run.folder / name.lower())
        self._run: wandb.Run | None = None
        return self._open().id

    def _open(self) -> wandb.Run:
        """The run, continued if the last `flush` has closed it."""
        if self._run is None:
            run, online = self._about, not self._about.is_whole
            self._run = wandb.init(
                project=run.settings["project"],
                entity=run.settings.get("entity"),
                name=run.name,
                tags=[*(run.settings.get("tags") or ()), run.key],
                id=run.key,
                resume="allow" if online else None,
                mode="online" if online else "offline",
                dir=str(run.folder),
                config=run.facts,
                settings=_settings(online),
            )
            # Numbers of the held-out pairs come later than those of the same step's training pairs.
            self._run.define_metric("*", step_metric="step")
        return self._run

    def steps(self, steps: list[Step]) -> None:
        run = self._open()
        for each in steps:
            run.log({"step": each.step, **each.values})

    def samples(self, samples: list[SampledAnswer]) -> None:
        rows = [[each.step, each.line, each.prompt, each.answer] for each in samples]
        if rows:
            self._open().log({"step": rows[-1][0], "samples": wandb.Table(COLUMNS, rows)})

    def flush(self) -> int:
        """Wait for the upload, which only the end of a run does. The next numbers continue it."""
        if not self._about.is_whole:
            self._close(failed=False)
        return 0

    def _close(self, *, failed: bool) -> None:
        if self._run is not None:
            self._run.finish(exit_code=int(failed))
            self._run = None

    def end(self, state: str | None) -> None:
        failed = state == "failed"
        if failed:
            self._open()
        self._close(failed=failed)
        if not self._about.is_whole:
            shutil.rmtree(self._about.folder, ignore_errors=True)


def _settings(online: bool) -> Settings:
    """The key is given here: `wandb.login` would write it to ~/.netrc."""
    settings = Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
        init_timeout=30,
    )
    if online:
        settings.api_key = get_settings().wandb_api_key.get_secret_value()
    return settings
