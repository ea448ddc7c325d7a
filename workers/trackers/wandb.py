"""Weights & Biases: a run in a project; offline files where the operator has set no key.

The operator's key (ODDSMITH_WANDB_API_KEY) is used for the organisation that runs the installation.
Runs of others, and all runs without a key, are written to `trackers/JOB/PLACE` as W&B's offline
files, which `wandb sync` uploads. An offline run can't be continued, so it is written once its job
has ended, anew at each attempt.
"""

import shutil

import wandb

from services.platform.settings import get_settings
from workers.trackers.tracker import Run, SampledAnswer, Step

COLUMNS: list[str | int] = ["step", "line", "prompt", "answer"]


def is_online(run_is_operators: bool) -> bool:
    return run_is_operators and bool(get_settings().wandb_api_key.get_secret_value())


class WeightsAndBiases:
    def begin(self, run: Run) -> str | None:
        online = is_online(run.is_operators)
        if online:
            wandb.login(key=get_settings().wandb_api_key.get_secret_value(), verify=False)
        else:
            shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=run.settings["project"],
            entity=run.settings.get("entity"),
            name=run.settings.get("name") or run.job_id,
            tags=[*(run.settings.get("tags") or ()), run.job_id],
            id=run.job_id,
            resume="allow" if online else None,
            mode="online" if online else "offline",
            dir=str(run.folder),
            config=run.facts,
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                disable_job_creation=True,
                x_disable_stats=True,
                x_disable_meta=True,
                init_timeout=30,
            ),
        )
        # Numbers of the held-out pairs come later than those of the same step's training pairs.
        self._run.define_metric("*", step_metric="step")
        return self._run.id

    def steps(self, steps: list[Step]) -> None:
        for each in steps:
            self._run.log({"step": each.step, **each.values})

    def samples(self, samples: list[SampledAnswer]) -> None:
        rows = [[each.step, each.line, each.prompt, each.answer] for each in samples]
        if rows:
            self._run.log({"step": rows[-1][0], "samples": wandb.Table(COLUMNS, rows)})

    def flush(self) -> None:
        """W&B keeps what was logged in files at once, and `finish` waits for the upload."""

    def end(self, state: str | None) -> None:
        self._run.finish(exit_code=1 if state == "failed" else 0)
