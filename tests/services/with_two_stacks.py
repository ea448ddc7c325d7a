"""Two stacks; the old one contains objects of every kind:
`pytest_plugins = ["tests.services.with_two_stacks"]`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from models import BaseModelRecord, Comparison, Deployment, Engine, File, OutboxMessage
from models.base import new_id
from models.deployments import DeploymentStatus
from models.jobs import DesiredState
from services.files import seed
from services.jobs import claims
from services.platform import database
from services.platform.database import transaction
from services.runs import metrics
from services.serving.engines import EngineStatus
from tests import records
from tests.conftest import forget_connections
from tests.services.two_stacks import CALLER, OLD_KEY, Old, Stacks, job_at_work, save


@pytest.fixture
def stacks(
    empty_database: Callable[[str], str],
    settings_from: Callable[..., None],
    tmp_path: Path,
) -> Iterator[Stacks]:
    urls = {side: empty_database(side) for side in ("old", "new")}

    def choose(side: str) -> None:
        settings_from(database_url=urls[side], var=tmp_path / side, storage_url="", redis_url="")
        forget_connections()
        (tmp_path / side / "runs").mkdir(parents=True, exist_ok=True)

    choose("old")
    with transaction() as session:
        seed.organization(session)
        seed.first_key(session, OLD_KEY)
    choose("new")
    with transaction() as session:
        seed.organization(session)
        seed.first_key(session, "sk-odd-new-0123456789-0123456789")
    choose("old")
    yield Stacks(choose, tmp_path / "backups" / "monday")
    database.engine().dispose()
    forget_connections()


@pytest.fixture
def old(stacks: Stacks, tmp_path: Path) -> Old:
    folder = tmp_path / "base"
    folder.mkdir()
    with transaction() as session:
        base = records.base_model(session, CALLER, id="acme/base", path=str(folder)).id
        ended = job_at_work(session, base)
        claims.start(session, ended.id, 1)
        saved = save(session, ended, 5)
        claims.finalize(session, ended.id, 1)
        claims.succeed(session, ended.id, 1, model="ft:tuned", result_files=[])
        running = job_at_work(session, base)
        claims.start(session, running.id, 1)
        claims.heartbeat(session, running.id, 1, {"step": 20, "steps": 90})
        line = {"split": "train", "step": 20, "t": 0, "values": {"loss": 0.5}}
        metrics.write(session, running.id, 1, [line])
        kept = [save(session, running, step).id for step in (10, 20)]
        running.attempts = 1
        cancelling = job_at_work(session, base, desired_state=DesiredState.RUN)
        cancelling.desired_state = DesiredState.CANCEL
        pausing = job_at_work(session, base)
        pausing.desired_state = DesiredState.PAUSE
        # Delete the unused files and base models that `records.job` has made.
        session.execute(delete(File).where(File.storage_key == "x"))
        session.execute(delete(BaseModelRecord).where(BaseModelRecord.path == "/nowhere"))
        engine = Engine(
            id=new_id("engine"), weights="/w", served_name="b", status=EngineStatus.READY,
            worker="w", host="h", port=1, device="cpu",
        )  # fmt: skip
        session.add(engine)
        session.flush()
        deployment = Deployment(
            id=new_id("deploy"), org_id=seed.ORG_ID, model="ft:tuned", base_model=base,
            checkpoint_id=saved.id, status=DeploymentStatus.READY, engine_id=engine.id,
        )  # fmt: skip
        session.add(deployment)
        session.add(Comparison(id=new_id("cmp"), org_id=seed.ORG_ID, sides=["a\tb\n\\N"]))
        session.add(OutboxMessage(task="files.validate", arguments={}))
        return Old(
            running.id, cancelling.id, pausing.id, ended.id, [saved.id, *kept], deployment.id,
            engine.id,
        )  # fmt: skip
