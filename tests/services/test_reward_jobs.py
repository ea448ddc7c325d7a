"""A job of the method `reward` from its request to its model: a real run, stored by a worker."""

import pytest
from sqlalchemy import select

from models import Job, Metric, PairScore, Sample
from models.jobs import JobState
from orpo.contract.methods import parse_method
from orpo.contract.rundir import generation
from services.jobs import claims
from services.platform.settings import get_settings
from services.runs import checkpoints, results
from services.serving import catalog, deployments, weights
from services.serving.catalog import Use
from tests import records
from tests.orpo.tiny_run import Bench, write_base, write_pairs
from workers import tail

SETTINGS = {"max_steps": 4, "batch_size": 4, "eval_every": 2, "checkpoint_every": 2}


def test_a_reward_model_is_trained_listed_and_downloaded_but_never_deployed(
    product, session, caller, tmp_path
):
    method = parse_method("reward", SETTINGS)
    job = records.job(session, caller, JobState.QUEUED, method=method.model_dump(mode="json"))
    claims.claim_next(session, "w")
    session.commit()
    run_dir = generation(get_settings().runs_dir / job.id, 1)
    bench = Bench(run_dir.parent, write_base(tmp_path / "base"), write_pairs(tmp_path / "p", 20))
    bench.run(run_dir.name, type="reward", **SETTINGS)

    run = tail.RunTail(run_dir, job.id, 1)
    run.drain()
    assert run.outcome is not None
    assert run.outcome["type"] == "finished"
    assert claims.finalize(session, job.id, 1)
    results.register(session, job.id, 1)
    session.commit()

    name = session.get_one(Job, job.id).fine_tuned_model
    model = catalog.get(session, caller, name)
    assert (model.use, model.job_id) == (Use.JUDGE, job.id)
    checkpoint, _ = checkpoints.resolve(session, caller, name)
    assert checkpoint.step == 4
    assert {"reward/chosen", "reward/rejected", "reward/margin", "accuracy"} <= set(
        checkpoint.metrics
    )
    adapter = weights.find(checkpoint, weights.Format.ADAPTER)
    assert (adapter / "adapter_model.safetensors").is_file()
    with pytest.raises(deployments.Invalid, match="can't chat"):
        deployments.create(session, caller, name)

    names = set(session.scalars(select(Metric.name).where(Metric.job_id == job.id)))
    assert {"reward/margin", "margin/p50"} <= names
    assert not any(each.startswith("logps/") for each in names)
    scored = session.scalars(select(PairScore).where(PairScore.step == 4)).all()
    assert len(scored) == 4
    assert all(pair.log_odds_ratio is not None and pair.nll is None for pair in scored)
    assert session.scalars(select(Sample)).all() == []
