"""MLflow: a run in an experiment, at the operator's server or in files.

The server is ODDSMITH_MLFLOW_URI, for the organisation that runs the installation. Runs of others,
and all runs without that setting, are files in `trackers/mlflow` of the folder for all files.
"""

import os

from mlflow.entities import Experiment, Metric, Param
from mlflow.tracking import MlflowClient

from services.platform.settings import get_settings
from workers.trackers.tracker import Run, SampledAnswer, Step

EXPERIMENT = "oddsmith"
TAG = "oddsmith.job"
# MLflow's limits of one request, and of a value.
METRICS_A_REQUEST, PARAMS_A_REQUEST, LONGEST_VALUE = 1000, 100, 500
STATES = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
# A server that does not answer ends the pass; the mirror itself tries again.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


class MLflow:
    def begin(self, run: Run) -> str | None:
        os.environ.update(ENVIRONMENT)
        uri = get_settings().mlflow_uri if run.is_operators else None
        files = get_settings().trackers_dir / "mlflow"
        self._client = MlflowClient(tracking_uri=uri or files.as_uri())
        self._run_id = run.run_id or self._found(run) or self._created(run)
        return self._run_id

    def _found(self, run: Run) -> str | None:
        """The run that an earlier pass made, if it was killed before its id was stored."""
        found = self._client.search_runs([self._experiment(run)], f"tags.`{TAG}` = '{run.job_id}'")
        return found[0].info.run_id if found else None

    def _created(self, run: Run) -> str:
        name = run.settings.get("name") or run.job_id
        made = self._client.create_run(
            self._experiment(run), run_name=name, tags={TAG: run.job_id}
        ).info.run_id
        params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in run.facts.items()]
        for start in range(0, len(params), PARAMS_A_REQUEST):
            self._client.log_batch(made, params=params[start : start + PARAMS_A_REQUEST])
        return made

    def _experiment(self, run: Run) -> str:
        name = run.settings.get("experiment") or EXPERIMENT
        known: Experiment | None = self._client.get_experiment_by_name(name)
        return known.experiment_id if known else self._client.create_experiment(name)

    def steps(self, steps: list[Step]) -> None:
        found = [
            Metric(name, value, int(each.t * 1000), each.step)
            for each in steps
            for name, value in each.values.items()
        ]
        for start in range(0, len(found), METRICS_A_REQUEST):
            self._client.log_batch(self._run_id, metrics=found[start : start + METRICS_A_REQUEST])

    def samples(self, samples: list[SampledAnswer]) -> None:
        for each in samples:
            path = f"samples/step-{each.step}/line-{each.line}.txt"
            text = f"Prompt:\n{each.prompt}\n\nAnswer:\n{each.answer}\n"
            self._client.log_text(self._run_id, text, path)

    def flush(self) -> None:
        """Each request was answered once it was stored."""

    def end(self, state: str | None) -> None:
        if state is not None:
            self._client.set_terminated(self._run_id, STATES.get(state, "FINISHED"))
