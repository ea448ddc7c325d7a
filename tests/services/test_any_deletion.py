"""Any deletions in any order remove nothing that is needed, and all that was deleted."""

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from models import Checkpoint, Deployment, File, Job
from models.deployments import DeploymentStatus
from models.jobs import DesiredState, JobState
from orpo.contract import manifest
from services.files import files
from services.jobs import claims, jobs
from services.jobs.states import ENDED
from services.platform import folders, storage
from services.platform.database import transaction
from services.platform.errors import OddsmithError
from services.platform.settings import get_settings
from services.runs import checkpoints
from services.serving import deployments, engines, weights
from services.upkeep import deletions, leftovers, removals
from tests import records

FILES = 2
# The names of the acts; a number selects the object of each act.
ACTS = (
    "create", "claim", "save", "save", "save", "damage", "stop", "finish", "pause", "resume",
    "cancel", "deploy", "deploy", "undeploy", "merge", "read", "close", "delete_job", "delete_job",
    "delete_model", "delete_model", "delete_file", "delete_file", "remove", "crash", "tidy",
)  # fmt: skip


class Crash(BaseException):
    """The removing process is killed."""


@dataclass
class World:
    """Some jobs on some files, and which of these were deleted."""

    runs: Path
    caller: Any
    base: str
    file_ids: list[str]
    job_ids: list[str] = field(default_factory=list)
    deleted_jobs: set[str] = field(default_factory=set)
    deleted_files: set[str] = field(default_factory=set)
    # By checkpoint id.
    deleted_folders: dict[str, Path] = field(default_factory=dict)
    reading: ExitStack = field(default_factory=ExitStack)
    step: int = 0

    def act(self, name: str, which: int) -> None:
        """Call the act; a refusal is fine."""
        with suppress(OddsmithError):
            getattr(self, name)(which)

    def pick(self, ids: list[str], which: int) -> str:
        return ids[which % len(ids)] if ids else "none"

    def job(self, which: int) -> str:
        return self.pick(self.job_ids, which)

    # --- people -------------------------------------------------------------------------------

    def create(self, which: int) -> None:
        with transaction() as session:
            file_id = self.pick(self.file_ids, which)
            validation = self.pick(self.file_ids, which // 2) if which % 3 == 0 else None
            asked = jobs.NewJob(self.base, file_id, validation)
            job = jobs.create(session, self.caller, asked)
            job.method = job.method | {"keep_checkpoints": (0, 2, 3)[which % 3]}
            job.state = JobState.QUEUED
            session.flush()
            self.job_ids.append(job.id)
        marks = [self.mark(file_id), self.mark(validation or file_id)]
        data = self.runs / job.id / "data"
        data.mkdir(parents=True)
        for name, mark in zip(("train.jsonl", "held_out.jsonl"), marks, strict=True):
            (data / name).write_text(mark)
        entry = f"tokens-{file_id[-16:]}"
        (data / "tokens.txt").write_text(f"{entry}\n")
        (get_settings().tokens_dir / entry).mkdir(parents=True, exist_ok=True)
        (get_settings().tokens_dir / entry / "ids.bin").write_text(" ".join(marks))

    def mark(self, file_id: str) -> str:
        return f"a row of {file_id}"

    def pause(self, which: int) -> None:
        with transaction() as session:
            jobs.pause(session, self.caller, self.job(which))

    def resume(self, which: int) -> None:
        with transaction() as session:
            jobs.resume(session, self.caller, self.job(which))

    def cancel(self, which: int) -> None:
        with transaction() as session:
            jobs.cancel(session, self.caller, self.job(which))

    def models(self, session: Any) -> list[str]:
        rows = session.execute(
            select(Checkpoint.model, Job.fine_tuned_model)
            .join(Job, Job.id == Checkpoint.job_id)
            .where(Job.id.in_(self.job_ids))
            .order_by(Checkpoint.step, Job.created_at)
        )
        return [name for row in rows for name in row if name]

    def deploy(self, which: int) -> None:
        with transaction() as session:
            deployments.create(session, self.caller, self.pick(self.models(session), which))

    def undeploy(self, which: int) -> None:
        with transaction() as session:
            found = list(session.scalars(select(Deployment.id).order_by(Deployment.created_at)))
            deployments.stop(session, self.caller, self.pick(found, which))

    def delete_job(self, which: int) -> None:
        job_id = self.job(which)
        with transaction() as session:
            deletions.delete_job(session, self.caller, job_id)
        self.deleted_jobs.add(job_id)

    def delete_model(self, which: int) -> None:
        with transaction() as session:
            name = self.pick(self.models(session), which)
            checkpoint, _ = checkpoints.resolve(session, self.caller, name)
            deletions.delete_checkpoint(session, self.caller, name)
        self.deleted_folders[checkpoint.id] = checkpoints.folder(checkpoint)

    def delete_file(self, which: int) -> None:
        file_id = self.pick(self.file_ids, which)
        with transaction() as session:
            files.delete(session, self.caller, file_id)
        self.deleted_files.add(file_id)

    # --- workers ------------------------------------------------------------------------------

    def claim(self, which: int) -> None:
        with transaction() as session:
            job = claims.claim_next(session, f"w{which}")
            if job is not None:
                claims.start(session, job.id, job.generation)

    def held(self, session: Any, which: int) -> Job | None:
        held = (JobState.CLAIMED, JobState.RUNNING)
        query = select(Job).where(Job.id.in_(self.job_ids), Job.state.in_(held))
        found = list(session.scalars(query.order_by(Job.created_at)))
        return found[which % len(found)] if found else None

    def save(self, which: int) -> None:
        with transaction() as session:
            job = self.held(session, which)
            if job is None:
                return
            newest = checkpoints.latest(session, job.id)
            step = newest.step + 1 if newest else 1
            data = records.saved(step)
            data["metrics"]["held_out"]["loss"] = which % 5
            folder = self.runs / job.id / f"g{job.generation}" / data["path"]
            (folder / "adapter").mkdir(parents=True, exist_ok=True)
            (folder / "adapter" / "weights").write_text("weights")
            manifest.write(folder, manifest.Manifest(step, job.generation, "0", "0", True, {}))
            checkpoints.register(session, job.id, job.generation, data)

    def damage(self, which: int) -> None:
        with transaction() as session:
            job = self.held(session, which)
            newest = checkpoints.latest(session, job.id) if job and which % 4 == 0 else None
            if newest is not None:
                checkpoints.mark_damaged(session, newest.id)

    def stop(self, which: int) -> None:
        with transaction() as session:
            if (job := self.held(session, which)) is not None:
                claims.release(session, job.id, job.generation)

    def finish(self, which: int) -> None:
        with transaction() as session:
            job = self.held(session, which)
            if job is None or job.desired_state != DesiredState.RUN:
                return
            saved = checkpoints.latest(session, job.id)
            claims.finalize(session, job.id, job.generation)
            if saved is None:
                error = {"code": "nan", "message": "It broke.", "param": None}
                claims.fail(session, job.id, job.generation, error)
            else:
                name = checkpoints.model_name(session, job)
                claims.succeed(session, job.id, job.generation, model=name, result_files=[])

    def merge(self, which: int) -> None:
        with transaction() as session:
            checkpoint, _ = checkpoints.resolve(
                session, self.caller, self.pick(self.models(session), which)
            )
        whole, gguf, _ = weights.made_of(checkpoint.id)
        whole.mkdir(parents=True, exist_ok=True)
        gguf.write_text("gguf")

    def read(self, which: int) -> None:
        """A download begins."""
        with transaction() as session:
            name = self.pick(self.models(session), which)
            checkpoint, _ = checkpoints.resolve(session, self.caller, name)
        with suppress(FileNotFoundError):
            self.reading.enter_context(folders.held(checkpoints.folder(checkpoint) / "adapter"))

    def close(self, _: int) -> None:
        self.reading.close()

    def remove(self, _: int) -> None:
        removals.remove_all()

    def crash(self, which: int) -> None:
        """Kill the removing worker, before or during one of its steps."""
        with suppress(Crash), crashing(which % 12):
            removals.remove_all()

    def tidy(self, _: int) -> None:
        leftovers.remove(leftovers.listed())

    # --- checks -------------------------------------------------------------------------------

    def check(self) -> None:
        """All that an open job or a live deployment needs exists."""
        with transaction() as session:
            for job in session.scalars(select(Job).where(Job.id.in_(self.job_ids))):
                if job.state not in ENDED:
                    self._check_open(session, job)
            served = session.execute(
                select(Checkpoint, Deployment)
                .join(Deployment, Deployment.checkpoint_id == Checkpoint.id)
                .where(Deployment.desired == "run", Deployment.org_id == self.caller.org_id)
            ).all()
            wanted = {each.deployment.id for each in engines.wanted(session)}
        for checkpoint, deployment in served:
            assert checkpoint.deleted_at is None
            assert (checkpoints.folder(checkpoint) / "adapter" / "weights").exists()
            assert deployment.status == DeploymentStatus.FAILED or deployment.id in wanted

    def _check_open(self, session: Any, job: Job) -> None:
        for name in ("train.jsonl", "held_out.jsonl"):
            assert (self.runs / job.id / "data" / name).exists()
        for file_id in filter(None, (job.training_file, job.validation_file)):
            stored = session.get_one(File, file_id)
            assert stored.deleted_at is None
            storage.reading(stored.rows_key or "").close()
        resumable = session.scalars(checkpoints.undamaged_of(job.id)).all()
        for checkpoint in resumable:
            assert checkpoints.folder(checkpoint).exists()
        sound = text("SELECT count(*) FROM checkpoints WHERE job_id = :job AND damaged_at IS NULL")
        everything = session.execute(sound, {"job": job.id}).scalar_one()
        assert len(resumable) >= min(2, everything)

    def settle(self) -> None:
        """Stop readers and deployments, and run the removal until nothing is left to remove."""
        self.reading.close()
        with transaction() as session:
            for deployment in engines.unwanted(session):
                engines.mark_stopped(session, deployment.id)
        while removals.remove_all():
            pass
        with transaction() as session:
            assert not removals.pending(session)

    def check_gone(self) -> None:
        here = [path for path in self.runs.parent.rglob("*") if path.is_file()]
        for file_id in self.deleted_files:
            assert [p for p in here if self.mark(file_id) in p.read_text(errors="replace")] == []
        with transaction() as session:
            rows = set(session.scalars(select(Checkpoint.id)))
            known = set(session.scalars(select(Job.id)))
        assert not self.deleted_jobs & known
        assert set(self.job_ids) - self.deleted_jobs <= known
        for job_id in self.job_ids:
            assert (self.runs / job_id).exists() == (job_id not in self.deleted_jobs)
        for checkpoint_id, folder in self.deleted_folders.items():
            if checkpoint_id not in rows:  # otherwise a run has saved the same step again
                assert not folder.exists()
                assert not any(path.exists() for path in weights.made_of(checkpoint_id))
        assert not [path for path in self.runs.rglob("*") if path.name.endswith(folders.REMOVED)]

    def leave(self) -> None:
        """Cancel all open jobs, so that workers of the next example don't claim them."""
        with transaction() as session:
            for job in session.scalars(select(Job).where(Job.state.not_in(ENDED))).all():
                jobs.cancel(session, self.caller, job.id)
                if job.state not in ENDED:
                    claims.release(session, job.id, job.generation)


class crashing:  # noqa: N801 - used like a function: `with crashing(3)`
    """Raise Crash at the n-th removal of a file or folder; for a folder, after its first file."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        remove = folders.shutil.rmtree

        def half(path: Path, *rest: Any, **options: Any) -> None:
            first = next((found for found in Path(path).rglob("*") if found.is_file()), None)
            if first is not None and self._is_due():
                os.unlink(first)  # noqa: PTH108 - Path.unlink is patched
                raise Crash
            remove(path, *rest, **options)

        self.patch.setattr(folders.shutil, "rmtree", half)
        for owner, name in ((storage, "delete"), (Path, "unlink")):
            self.patch.setattr(owner, name, self._before(getattr(owner, name)))

    def __exit__(self, *_: object) -> None:
        self.patch.undo()

    def _is_due(self) -> bool:
        self.left -= 1
        return self.left < 0

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def cut(*arguments: Any, **options: Any) -> Any:
            if self._is_due():
                raise Crash
            return call(*arguments, **options)

        return cut


@pytest.fixture
def worlds(product: None) -> Callable[[], World]:
    def begin() -> World:
        with transaction() as session:
            caller = records.caller(session)
            base = records.base_model(session, caller).id
            file_ids = [records.file(session, caller).id for _ in range(FILES)]
            world = World(get_settings().runs_dir, caller, base, file_ids)
            for file_id in file_ids:
                stored = session.get_one(File, file_id)
                stored.storage_key, stored.rows_key = f"files/{file_id}", f"files/{file_id}.rows"
                for key in filter(None, (stored.storage_key, stored.rows_key)):
                    with storage.writing(key) as sink:
                        sink.write(world.mark(file_id).encode())
        return world

    return begin


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    # Shrinking a failure takes minutes here.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    begun=st.integers(1, 3),
    acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 30)), min_size=15, max_size=40),
)
def test_nothing_needed_is_removed_and_what_is_deleted_is_gone(
    worlds: Callable[[], World], begun: int, acts: list[tuple[str, int]]
) -> None:
    world = worlds()
    for which in range(begun):
        for name in ("create", "claim", "save", "save", *(["save", "finish"] if which else [])):
            world.act(name, which)
    for name, which in acts:
        world.act(name, which)
        world.check()
    world.settle()
    world.check()
    world.check_gone()
    event(f"deleted {min(1, len(world.deleted_jobs))} {min(1, len(world.deleted_files))}")
    world.leave()
