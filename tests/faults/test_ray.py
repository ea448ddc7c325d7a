"""What happens to a job whose Ray cluster loses a node or its head (`make faults-ray`)."""

import pytest

from tests.faults import invariants
from tests.faults.stack import EVERY, TWO_RANKS, Job, Stack
from tests.launchers.clusters import RayCluster

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_a_lost_node(stack: Stack, faultless: str, ray: RayCluster | None) -> None:
    """The raylet and the ranks of one node are killed; a new node comes. The job resumes and ends
    with the weights of the undisturbed one (I5).
    """
    if ray is None:
        pytest.skip("needs --on-ray")
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, EVERY + EVERY // 4)
    for rank in stack.ranks(job_id)[1:]:
        rank.kill()
    ray.lose_node()
    stack.until(job_id, lambda job: job["generation"] == 2, 60)
    stack.until(job_id, lambda job: "1 of the cluster" in waits_for(job), 60)
    ray.add_node()
    assert stack.until_state(job_id, "succeeded")["generation"] == 2
    invariants.hold(stack)


def waits_for(job: Job) -> str:
    return (job["placement"] or [{}])[0].get("waits_for") or ""
