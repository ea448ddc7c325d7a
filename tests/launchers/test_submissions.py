"""What a worker does with any cluster's answers, and how long the nodes of a run may live."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orpo.contract import rundir
from services.launchers import cluster, launchers, node
from services.launchers.cluster import Phase, Request, Status, Submission, Unreachable
from services.launchers.leases import Lease


class Scripted:
    """A cluster that gives these answers, one a question, then the last again and again."""

    title = "The cluster"

    def __init__(self, *answers: Status | str) -> None:
        self.answers, self.submitted, self.stopped = list(answers), 0, 0

    def submit(self, request: Request) -> None:
        self.submitted += 1

    def look(self, name: str) -> Status:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            raise Unreachable(answer)
        return answer

    def stop(self, name: str) -> None:
        self.stopped += 1
        if isinstance(self.answers[0], str):
            raise Unreachable(self.answers[0])


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Submission]:
    monkeypatch.setattr(cluster, "LOOK_S", 0.0)

    def make(scripted: Scripted, **more: int) -> Submission:
        asked = Request("oddsmith-x-g1", tmp_path, "train", more.get("nodes", 1), 1, False)
        return Submission(scripted, asked, Lease(tmp_path))

    return make


def test_what_a_cluster_says_is_what_the_job_waits_for(
    follow: Callable[..., Submission], tmp_path: Path
) -> None:
    known = [
        "Waits for the cluster: it is away.", Status(Phase.WAITING, "low priority."),
        Status(Phase.RUNNING), "Away again.", Status(Phase.RUNNING), Status(Phase.ENDED, code=0),
    ]  # fmt: skip
    run = follow(Scripted(*known), nodes=2)
    size = "2 nodes with 1 core each"
    assert run.waits_for == f"Waits for The cluster to start {size}."
    said, codes = [], []
    for _ in known:
        codes.append(run.poll())
        said.append(run.waits_for)
    assert said == [
        "Waits for the cluster: it is away.",
        f"Waits for The cluster to start {size}: low priority.",
        None,
        None,  # it runs, whether or not the cluster answers
        None,
        None,
    ]
    assert codes == [None] * 5 + [0]


def test_the_driver_s_sentence_is_shown_until_the_nodes_start(
    follow: Callable[..., Submission], tmp_path: Path
) -> None:
    run = follow(Scripted(Status(Phase.RUNNING)))
    (tmp_path / rundir.WAITS).write_text("Waits for room.")
    assert run.poll() is None
    assert run.waits_for == "Waits for room."
    (tmp_path / rundir.WAITS).unlink()
    assert run.poll() is None
    assert run.waits_for is None


def test_a_run_that_the_cluster_has_forgotten_is_lost_after_a_minute(
    follow: Callable[..., Submission], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = follow(Scripted(Status(Phase.RUNNING), Status(Phase.UNKNOWN)))
    assert [run.poll(), run.poll()] == [None, None]
    monkeypatch.setattr(cluster, "FORGOTTEN_S", -1.0)
    assert run.poll() == 1
    assert run.why == "The cluster: The cluster does not know oddsmith-x-g1 any more."
    assert (tmp_path / rundir.REVOKED).exists()  # its ranks, if some live, end


def test_a_run_is_submitted_once_and_ended_though_the_cluster_is_away(
    follow: Callable[..., Submission], tmp_path: Path
) -> None:
    scripted = Scripted(Status(Phase.RUNNING), "Away.")
    run = follow(scripted)
    for _ in range(3):
        assert run.poll() is None
    assert scripted.submitted == 1
    run.kill()
    assert run.poll() is not None
    assert (tmp_path / rundir.REVOKED).exists()


def test_a_failure_has_the_cluster_s_reason(follow: Callable[..., Submission]) -> None:
    run = follow(Scripted(Status(Phase.ENDED, "Node 1 was lost.", 1)))
    assert run.poll() == 1
    assert run.why == "The cluster: Node 1 was lost."


def test_a_lease_is_as_old_as_its_file(tmp_path: Path, settings_from: Callable[..., None]) -> None:
    settings_from(lease_s=30)
    held = Lease(tmp_path, "0")
    assert held.left_s() == 0  # never held
    held.renew()
    assert held.left_s() == pytest.approx(24, abs=1)
    # A node that was frozen, or whose clock is wrong, sees the age by the file system's clock.
    old = time.time() - 25
    os.utime(tmp_path / rundir.LEASE, (old, old))
    assert held.left_s() < 0
    held.renew()
    held.revoke()
    assert held.left_s() == 0


@pytest.mark.usefixtures("sigterm")
def test_a_node_whose_worker_is_gone_starts_nothing(
    tmp_path: Path, settings_from: Callable[..., None]
) -> None:
    settings_from(lease_s=30)
    assert node.main([str(tmp_path), "train"]) == 70
    Lease(tmp_path).renew()
    os.utime(tmp_path / rundir.LEASE, (0, 0))
    assert node.main([str(tmp_path), "train", "--node", "1"]) == 70
    assert {path.name for path in tmp_path.iterdir()} == {rundir.LEASE, "clock-0", "clock-1"}


@pytest.mark.parametrize(
    ("environ", "number"),
    [({}, 0), ({"SLURM_NODEID": "3"}, 3), ({"PET_NODE_RANK": "2"}, 2)],
)
def test_a_cluster_tells_a_node_its_number(environ: dict[str, str], number: int) -> None:
    assert node.number_in(environ) == number


def test_names_are_dns_labels() -> None:
    assert launchers.name_of("ftjob-AB_1", 2) == "oddsmith-ftjob-ab-1-g2"
