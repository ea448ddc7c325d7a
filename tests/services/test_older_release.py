"""Data of an older release: its backup is restored, and its paused job resumes.

`tests/services/older/make.py` made the archive with the code of commit 0c7d3bd, whose database was
at migration 0008.
"""

import json
import tarfile
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Table, insert, select, text

from models import ApiKey, Checkpoint, File, Job, JobEvent, Metric, Organization
from models.jobs import JobState
from services.access.callers import Caller
from services.backup import backups, restores
from services.backup import older as older_releases
from services.files import seed
from services.jobs import jobs
from services.platform.database import transaction
from services.platform.errors import Invalid
from services.upkeep import health
from tests import records
from workers import jobs as tasks

ARCHIVE = Path(__file__).parent / "older" / "0c7d3bd.tar.xz"
ROW = {"id": "one", "org_id": "one", "name": "n", "hint": "", "sha256": "0", "scopes": []}
CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The folder with `backup` and `base`."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "older")
    return tmp_path / "older"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_its_backup_is_restored_and_its_paused_job_goes_on(product: None, older: Path) -> None:
    assert backups.check(older / "backup").migration == "0008"
    with transaction() as session:
        seed.organization(session)
    restored = restores.restore(older / "backup")
    with transaction() as session:
        base = session.execute(text("SELECT id, path FROM base_models WHERE id = 'tiny'")).one()
        assert restored.bases_missing == {"tiny": base.path}
        session.execute(text("UPDATE base_models SET path = :p"), {"p": str(older / "base")})
        job = session.scalars(select(Job)).one()
        assert (job.state, job.generation) == (JobState.PAUSED, 1)
        step = (job.progress or {})["step"]
        assert step >= 12
        states = select(JobEvent.data["state"].astext).where(JobEvent.job_id == job.id)
        before = [state for state in session.scalars(states.order_by(JobEvent.seq)) if state]
        assert before == ["validating_files", "queued", "claimed", "running", "paused"]
        # Newer columns have the values that their migrations set.
        assert session.scalars(select(File.deleted_at)).all() == [None]
        assert session.scalars(select(Checkpoint.deleted_at)).first() is None
        numbers = session.scalars(select(Metric.step).where(Metric.split == "train")).all()
        assert max(numbers) == step
        schemas = text("SELECT count(*) FROM pg_namespace WHERE nspname = 'restoring'")
        assert session.scalar(schemas) == 0
        jobs.resume(session, CALLER, job.id)
        job_id = job.id

    tasks.train()

    with transaction() as session:
        job = session.get_one(Job, job_id)
        assert job.state == JobState.SUCCEEDED, job.error
        assert (job.generation, job.attempts) == (2, 0)
        steps = select(Metric.step).where(Metric.split == "train", Metric.name == "loss")
        assert sorted(set(session.scalars(steps))) == list(range(1, 301))
        resumed = select(JobEvent).where(JobEvent.generation == 2, JobEvent.level == "warn")
        assert session.scalars(resumed).all() == []


def test_keys_of_a_later_release_are_loaded_although_a_constraint_on_them_is_deferred(
    product: None,
) -> None:
    """A schema with a row whose deferred constraint is not checked yet can't be dropped."""

    def copy_in(table: Table, columns: set[str]) -> None:
        values = {name: ROW[name] for name in columns & ROW.keys()}
        session.execute(insert(table).values(values))

    tables = [Organization.__table__, ApiKey.__table__]
    with transaction() as session:
        older_releases.load(session, cast("list[Table]", tables), health.head() or "", copy_in)
        assert session.scalars(select(ApiKey.id)).all() == ["one"]


def test_one_of_a_newer_release_is_refused(product: None, older: Path) -> None:
    with transaction() as session:
        seed.organization(session)
    path = older / "backup" / "backup.json"
    contents = json.loads(path.read_text())["contents"] | {"migration": "9999"}
    path.write_bytes(backups._sealed(backups.Contents(**contents)))
    with pytest.raises(Invalid, match="at migration 9999, which this release does not know"):
        restores.restore(older / "backup")


def test_one_that_lacks_rows_of_its_release_is_refused(product: None, older: Path) -> None:
    with transaction() as session:
        seed.organization(session)
    path = older / "backup" / "backup.json"
    contents = json.loads(path.read_text())["contents"]
    del contents["tables"]["checkpoints"]
    path.write_bytes(backups._sealed(backups.Contents(**contents)))
    with pytest.raises(Invalid, match="the rows of checkpoints are missing"):
        restores.restore(older / "backup")
    with transaction() as session:
        assert session.scalars(select(Job)).all() == []
