"""Which workers are alive, and for train workers their devices and which of these are free.

A device is leased with the job that uses it (`jobs.placement`), for as long as the job is held.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import Job, Worker
from models.jobs import HELD
from orpo.contract.methods import Method
from orpo.contract.spec import VERSION
from services.access.callers import Caller
from services.launchers import launchers
from services.platform.errors import Invalid
from services.platform.queue import TRAIN
from services.platform.settings import get_settings
from services.platform.version import VERSION as RELEASE


@dataclass(frozen=True)
class Seen:
    """A worker as one caller may see it. `job` is the job that it has, if it is the caller's."""

    record: Worker
    id: str
    host: str
    job: Job | None


@dataclass(frozen=True)
class Fleet:
    """The workers that are alive, and the jobs that are held, at one moment.

    Held evaluations are among the jobs; they use no device.
    """

    workers: Sequence[Worker]
    held: Sequence[Job]

    def idle(self) -> list[Worker]:
        """The workers that have no job."""
        busy = {place["worker"] for place in self._places()}
        return [worker for worker in self.workers if worker.id not in busy]

    def find(self, worker_id: str) -> Worker | None:
        return next((worker for worker in self.workers if worker.id == worker_id), None)

    def free_devices(self, worker: Worker) -> list[int]:
        """The indices of its host's GPUs that no held job uses."""
        used = {
            index
            for place in self._places()
            if place["host"] == worker.host
            for index in place["devices"]
        }
        return [gpu["index"] for gpu in worker.devices if gpu["index"] not in used]

    def job_of(self, worker: Worker) -> Job | None:
        """The job that it has."""
        for job in self.held:
            if any(place["worker"] == worker.id for place in job.placement):
                return job
        return None

    def seen_by(self, caller: Caller) -> list[Seen]:
        """All workers. Only the organisation that runs the installation sees the hosts' names."""
        hosts = {host: n for n, host in enumerate(sorted({w.host for w in self.workers}), start=1)}
        found = []
        for n, worker in enumerate(self.workers, start=1):
            job = self.job_of(worker)
            mine = job if job and job.org_id == caller.org_id else None
            names = (worker.id, worker.host)
            if not caller.is_operator:
                names = (f"worker-{n}", f"host-{hosts[worker.host]}")
            found.append(Seen(worker, *names, mine))
        return found

    def _places(self) -> list[dict[str, Any]]:
        return [place for job in self.held for place in job.placement]


def register(
    session: Session,
    worker_id: str,
    *,
    host: str,
    cores: int,
    devices: list[dict[str, Any]],
    queues: Sequence[str] = (TRAIN,),
    memory_bytes: int | None = None,
) -> None:
    """Store that a worker is alive; repeated at every heartbeat."""
    values = {"queues": list(queues), "host": host, "cores": cores, "devices": devices}
    values |= {"memory_bytes": memory_bytes, "release": RELEASE, "spec_version": VERSION}
    values["seen_at"] = func.clock_timestamp()
    statement = insert(Worker).values(id=worker_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[Worker.id], set_=values))


def forget(session: Session, worker_id: str) -> None:
    """Remove a worker that leaves from the fleet, and those that were not seen for a day."""
    gone = Worker.seen_at < func.clock_timestamp() - timedelta(days=1)
    session.execute(delete(Worker).where((Worker.id == worker_id) | gone))


def fleet(session: Session, asking: str | None = None) -> Fleet:
    """Return the train workers that are alive, always with the worker `asking`, and the held jobs.

    With `asking`, no other process decides on the fleet until the transaction ends.
    """
    query = select(Worker).where(_trains() | (Worker.id == asking)).order_by(Worker.id)
    workers = session.scalars(query.with_for_update() if asking else query).all()
    held = session.scalars(select(Job).where(Job.state.in_(HELD))).all()
    return Fleet(workers, held)


def of_all_queues(session: Session) -> Fleet:
    """Return the workers of every queue that are alive, and the held jobs, to be shown."""
    alive = session.scalars(select(Worker).where(_alive()).order_by(Worker.id)).all()
    held = session.scalars(select(Job).where(Job.state.in_(HELD))).all()
    return Fleet(alive, held)


def n_of_queues(session: Session) -> Counter[str]:
    """How many workers of each queue are alive."""
    served = session.scalars(select(Worker.queues).where(_alive()))
    return Counter(queue for queues in served for queue in queues)


def n_outdated(session: Session) -> int:
    """How many train workers are alive and of an older release than this process."""
    old = select(func.count()).where(_trains(), is_outdated(Worker.spec_version))
    return session.scalars(old).one()


def is_outdated(spec_version: Any) -> Any:
    return spec_version < VERSION


def refuse_impossible(session: Session, method: Method) -> None:
    """Raise Invalid for a job that could never run. Nothing is known of a cluster's machines, nor
    of this installation's before its first worker is alive.
    """
    if not launchers.is_local():
        return
    path = f"method.{method.type}.hyperparameters"
    if method.nodes > 1:
        raise Invalid(
            f"{method.nodes} nodes were asked for, and this installation trains on one machine at "
            f"a time. Set nodes to 1, or let its operator set ODDSMITH_LAUNCHER to "
            f"{' or '.join(launchers.CLUSTERS)} (docs/deploy.md).",
            param=f"{path}.nodes",
        )
    workers = session.scalars(select(Worker).where(_trains())).all()
    if not workers or method.processes == 1:  # any worker will do
        return
    most = max(len(worker.devices) or worker.cores for worker in workers)
    if method.processes > most:
        what = "GPUs" if any(worker.devices for worker in workers) else "cores"
        raise Invalid(
            f"{method.processes} processes were asked for; the largest machine here has {most} "
            f"{what}. Set processes to at most {most}.",
            param=f"{path}.processes",
        )


def _trains() -> Any:
    return Worker.queues.contains([TRAIN]) & _alive()


def _alive() -> Any:
    return Worker.seen_at > func.clock_timestamp() - timedelta(seconds=silent_s())


def silent_s() -> float:
    """How long a worker may be silent before it counts as gone."""
    return 2 * get_settings().lease_s
