"""MLflow: a run in an experiment, at the operator's server or in files.

The server is ODDSMITH_MLFLOW_URI, for the organisation that runs the installation. Runs of others,
and all runs without that setting, are files in `trackers/mlflow` of the folder for all files.
"""

import re

from mlflow.entities import Experiment, Metric, Param
from mlflow.tracking import MlflowClient

from services.platform.settings import get_settings
from workers.trackers.tracker import Run, SampledAnswer, Step

EXPERIMENT = "oddsmith"
TAG = "oddsmith.job"
# MLflow's limits of one request, and of a value.
METRICS_A_REQUEST, PARAMS_A_REQUEST, LONGEST_VALUE = 1000, 100, 500
# What it refuses in the name of a setting, and slashes, of which it refuses some.
UNNAMEABLE = re.compile(r"[^\w\-. :]")
STATES = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}


class MLflow:
    def begin(self, run: Run) -> str | None:
        uri = get_settings().mlflow_uri if run.is_operators else None
        files = get_settings().trackers_dir / "mlflow"
        self._client = MlflowClient(tracking_uri=uri or files.as_uri())
        self._run_id = run.run_id or self._begun(run)
        # An earlier pass may have written beyond its position. A store of files would keep these
        # numbers twice.
        known = self._client.get_run(self._run_id).data.to_proto().metrics
        self._newest = {metric.key: metric.step for metric in known}
        return self._run_id

    def _begun(self, run: Run) -> str:
        """The run of an earlier pass that was killed before it stored the id, or a new one."""
        experiment = self._experiment(run)
        found = self._client.search_runs([experiment], f"tags.`{TAG}` = '{run.key}'")
        run_id = (
            found[0]
            if found
            else self._client.create_run(experiment, run_name=run.name, tags={TAG: run.key})
        ).info.run_id
        # Two keys of a job's metadata may become the same name: it takes one value for each.
        facts = {UNNAMEABLE.sub("_", name): value for name, value in run.facts.items()}
        params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in facts.items()]
        for start in range(0, len(params), PARAMS_A_REQUEST):
            self._client.log_batch(run_id, params=params[start : start + PARAMS_A_REQUEST])
        return run_id

    def _experiment(self, run: Run) -> str:
        name = run.settings.get("experiment") or EXPERIMENT
        known: Experiment | None = self._client.get_experiment_by_name(name)
        return known.experiment_id if known else self._client.create_experiment(name)

    def steps(self, steps: list[Step]) -> None:
        found = [
            Metric(name, value, int(each.t * 1000), each.step)
            for each in steps
            for name, value in each.values.items()
            if each.step > self._newest.get(name, -1)
        ]
        for start in range(0, len(found), METRICS_A_REQUEST):
            self._client.log_batch(self._run_id, metrics=found[start : start + METRICS_A_REQUEST])

    def samples(self, samples: list[SampledAnswer]) -> None:
        for each in samples:
            path = f"samples/step-{each.step}/line-{each.line}.txt"
            text = f"Prompt:\n{each.prompt}\n\nAnswer:\n{each.answer}\n"
            self._client.log_text(self._run_id, text, path)

    def flush(self) -> int:
        """Each request was answered once it was stored."""
        return 0

    def end(self, state: str | None) -> None:
        if state is not None:
            self._client.set_terminated(self._run_id, STATES.get(state, "FINISHED"))
