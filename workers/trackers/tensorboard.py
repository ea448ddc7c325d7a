"""TensorBoard: event files in `trackers/JOB/PLACE` of the folder for all files.

Each pass writes a further file; TensorBoard reads all files of a folder as one run.
"""

import json

from tensorboardX import SummaryWriter

from workers.trackers.tracker import Run, SampledAnswer, Step


class TensorBoard:
    def begin(self, run: Run) -> str | None:
        self._writer = SummaryWriter(str(run.folder), write_to_disk=True)
        if run.run_id is None:
            self._writer.add_text("settings", f"```\n{json.dumps(run.facts, indent=2)}\n```", 0)
        return run.job_id

    def steps(self, steps: list[Step]) -> None:
        for each in steps:
            for name, value in each.values.items():
                self._writer.add_scalar(name, value, each.step, walltime=each.t)

    def samples(self, samples: list[SampledAnswer]) -> None:
        for each in samples:
            text = f"**Prompt**\n\n{each.prompt}\n\n**Answer**\n\n{each.answer}"
            self._writer.add_text(f"samples/line-{each.line}", text, each.step)

    def flush(self) -> None:
        self._writer.flush()

    def end(self, state: str | None) -> None:  # noqa: ARG002 - event files know no end
        self._writer.close()
