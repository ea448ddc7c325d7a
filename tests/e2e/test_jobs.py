"""Jobs on the real stack: several ranks, pause and resume, cancel, and kills."""

import hashlib
from functools import partial

import openai
import psutil
import pytest

from orpo.contract.rundir import TREE
from tests.e2e.conftest import EXAMPLES, SETTINGS
from tests.e2e.wait import wait_for
from tests.listeners import beyond_loopback

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

# A step takes 0.2 s with these lengths: enough time to interfere after the second step.
LONG = {
    "max_steps": 20,
    "batch_size": 2,
    "checkpoint_every": 5,
    "eval_every": 10,
    "n_samples": 1,
    "sample_tokens": 8,
}
TWO_RANKS = {"max_steps": 6, "batch_size": 4, "strategy": "ddp", "processes": 2}
ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="package")
def pairs(stack):
    client = stack.openai()
    with (EXAMPLES / "short-answers.jsonl").open("rb") as content:
        file = client.files.create(file=content, purpose="fine-tune")
    return client.files.wait_for_processing(file.id, poll_interval=0.3).id


@pytest.fixture
def create(stack, tiny, pairs):
    return partial(submit, stack, tiny, pairs)


def submit(stack, tiny: str, pairs: str, **hyperparameters) -> str:
    """Create a job with the client, and return its id."""
    method = {"type": "orpo", "orpo": {"hyperparameters": hyperparameters}}
    jobs = stack.openai().fine_tuning.jobs
    return jobs.create(model=tiny, training_file=pairs, method=method, seed=7).id


def step_of(job: dict) -> int:
    return (job["progress"] or {}).get("step", 0)


def weights(stack, job_id: str) -> str:
    with stack.http() as http:
        newest = http.get(f"/v1/fine_tuning/jobs/{job_id}/checkpoints").json()["data"][0]
    return newest["sha256"]


def train_losses(stack, job_id: str) -> list[float]:
    with stack.http() as http:
        answer = http.get(
            f"/v1/fine_tuning/jobs/{job_id}/series", params={"keys": "train:loss", "buckets": 5000}
        ).json()
    points = answer["data"][0]["points"]
    assert [point["x0"] for point in points] == list(range(1, len(points) + 1))
    return [point["last"] for point in points]


def training_processes(job_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if f"/{job_id}/" in process.environ().get(TREE, ""):
                found.append(process)
        except psutil.Error:
            continue
    return found


def train(stack, tiny: str, pairs: str, **hyperparameters) -> str:
    """Train a job to its end without disturbance."""
    job_id = submit(stack, tiny, pairs, **hyperparameters)
    client = stack.openai()

    def ended():
        found = client.fine_tuning.jobs.retrieve(job_id)
        return found if found.status in ENDED else None

    assert wait_for(ended, 300, stack.logs).status == "succeeded", stack.logs()
    return job_id


@pytest.fixture(scope="module")
def undisturbed(stack, tiny, pairs):
    """The reference job: all other jobs with LONG must equal it."""
    return train(stack, tiny, pairs, **LONG)


@pytest.fixture(scope="module")
def two_ranks(stack, tiny, pairs):
    """A job with two ranks, run once."""
    return train(stack, tiny, pairs, **TWO_RANKS)


def assert_undisturbed(stack, job_id: str) -> None:
    with stack.http() as http:
        job = http.get(f"/v1/fine_tuning/jobs/{job_id}").json()
    assert (job["generation"], job["attempts"]) == (1, 0), stack.story(job_id)


def test_two_ranks(stack, two_ranks):
    assert_undisturbed(stack, two_ranks)
    assert len(train_losses(stack, two_ranks)) == 6


@pytest.mark.long
def test_two_ranks_that_share_the_weights(stack, tiny, pairs):
    job_id = train(stack, tiny, pairs, **TWO_RANKS | {"strategy": "fsdp2"})
    assert_undisturbed(stack, job_id)
    assert len(train_losses(stack, job_id)) == 6


def test_ranks_listen_on_loopback_only(stack, two_ranks):
    """A rank's sockets require no key. They were watched since the stack's start."""
    assert stack.watch.of("orpo.train")
    assert beyond_loopback(stack.watch.seen) == []


def test_nodes_without_a_cluster_are_refused_at_once(create):
    with pytest.raises(openai.BadRequestError, match="ODDSMITH_LAUNCHER"):
        create(strategy="ddp", processes=4, nodes=4)


def test_an_estimate_is_what_the_job_takes(stack, tiny, pairs, two_ranks):
    settings = {name: TWO_RANKS[name] for name in ("max_steps", "batch_size")}
    method = {"type": "orpo", "orpo": {"hyperparameters": settings}}
    body = {"model": tiny, "training_file": pairs, "method": method, "seed": 7}
    path = "/v1/fine_tuning/jobs/estimate"
    with stack.http() as http:
        made = http.post(path, json=body).json()

        def ended():
            found = http.get(f"{path}/{made['id']}").json()
            return found if found["status"] in ENDED else None

        found = wait_for(ended, 120, stack.logs)
        assert found["status"] == "succeeded", found
        assert made["id"] not in [job["id"] for job in http.get(path[:-9]).json()["data"]]
        job = http.get(f"{path[:-9]}/{two_ranks}").json()
    assert found["estimate"]["tokens"] == pytest.approx(job["trained_tokens"], rel=0.2)
    assert not (stack.var / "runs" / made["id"]).exists()


def test_pause_resume_and_the_same_end(stack, create, until, undisturbed):
    job_id = create(**LONG)
    until(job_id, lambda job: step_of(job) >= 2)
    with stack.http() as http:
        assert http.post(f"/v1/fine_tuning/jobs/{job_id}/pause").status_code == 200
    paused = until(job_id, lambda job: job["status"] == "paused")
    assert paused["attempts"] == 0, stack.story(job_id)
    assert not training_processes(job_id)
    with stack.http() as http:
        assert http.post(f"/v1/fine_tuning/jobs/{job_id}/resume").status_code == 200
    until(job_id, lambda job: job["status"] == "succeeded")
    assert weights(stack, job_id) == weights(stack, undisturbed)
    assert train_losses(stack, job_id) == train_losses(stack, undisturbed)


def test_a_killed_api_costs_a_training_nothing(stack, create, until):
    job_id = create(**LONG)
    until(job_id, lambda job: step_of(job) >= 2)
    stack.kill_api()
    job = until(job_id, lambda job: job["status"] == "succeeded")
    assert job["generation"] == 1, stack.story(job_id)


def test_a_restart_of_the_stack_resumes_and_never_doubles(stack, create, until, undisturbed):
    job_id = create(**LONG)
    until(job_id, lambda job: step_of(job) >= 2)
    stack.down()
    assert not training_processes(job_id)
    stack.up()
    job = until(job_id, lambda job: job["status"] == "succeeded")
    assert (job["generation"], job["attempts"]) == (2, 0), stack.story(job_id)
    assert weights(stack, job_id) == weights(stack, undisturbed)
    assert train_losses(stack, job_id) == train_losses(stack, undisturbed)


@pytest.fixture(scope="module")
def endless(stack, tiny, pairs):
    """A job that trains until it is cancelled."""
    job_id = submit(stack, tiny, pairs, **LONG | {"max_steps": 100_000})
    path = f"/v1/fine_tuning/jobs/{job_id}"
    with stack.http() as http:
        wait_for(lambda: step_of(http.get(path).json()) >= 1, 120, stack.logs)
    yield job_id
    with stack.http() as http:
        http.post(f"{path}/cancel")


def test_a_training_process_holds_no_credential(stack, endless):
    processes = training_processes(endless)
    assert processes
    secrets = (stack.var / "secrets.json").read_text()
    for process in processes:
        for name, value in process.environ().items():
            assert not name.startswith(("ODDSMITH_DATABASE", "ODDSMITH_REDIS", "ODDSMITH_STORAGE"))
            assert value != SETTINGS["ODDSMITH_WANDB_API_KEY"]
            assert len(value) < 8 or f'"{value}"' not in secrets


def test_cancel_keeps_what_was_saved(stack, endless, until):
    job_id = endless
    until(job_id, lambda job: step_of(job) > LONG["checkpoint_every"])
    with stack.http() as http:
        http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel").raise_for_status()
    until(job_id, lambda job: job["status"] == "cancelled", 60)
    with stack.http() as http:
        saved = http.get(f"/v1/fine_tuning/jobs/{job_id}/checkpoints").json()["data"]
        assert saved
        again = http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")
        assert again.status_code == 409
        assert again.headers["x-should-retry"] == "false"
    assert (stack.run_dir(job_id, 1) / "train.log").exists()
    assert not training_processes(job_id)


def test_what_has_no_usable_pair_fails_before_training(stack, create, until):
    job_id = create(max_length=8)
    with stack.http() as http:
        job = wait_for(
            lambda: (
                found
                if (found := http.get(f"/v1/fine_tuning/jobs/{job_id}").json())["status"] in ENDED
                else None
            ),
            60,
            stack.logs,
        )
    assert job["status"] == "failed"
    assert job["generation"] == 0, stack.story(job_id)
    assert "max_length" in job["error"]["message"]


def test_the_stream_tells_everything_once(stack, undisturbed):
    """Read the whole stream of a finished job at once, and its rest from any place."""

    def read(last_event_id: str | None = None) -> list[tuple[str, str, str]]:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        messages, fields = [], {}
        path = f"/v1/fine_tuning/jobs/{undisturbed}/stream"
        with stack.http() as http, http.stream("GET", path, headers=headers) as answer:
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    messages.append((fields.get("event"), fields.get("id"), fields.get("data")))
                    fields = {}
        return messages

    whole = read()
    assert [event for event, _, _ in whole][-2:] == ["done", None]
    metrics = [data for event, _, data in whole if event == "metrics"]
    assert len(metrics) == len(set(metrics)) >= LONG["max_steps"]
    middle = len(whole) // 2
    rest = [m for m in read(whole[middle][1]) if m[0] != "state"]
    assert rest == [m for m in whole[middle + 1 :] if m[0] != "state"]
    assert read(f"{2**63}.0.0") == whole  # unknown place: from the beginning


def test_the_progress_of_a_job_that_has_ended_is_its_last_step(stack, undisturbed):
    with stack.http() as http:
        job = http.get(f"/v1/fine_tuning/jobs/{undisturbed}").json()
        answer = http.get(
            f"/v1/fine_tuning/jobs/{undisturbed}/series", params={"keys": "train:trained_tokens"}
        )
    assert {job["progress"]["step"], job["progress"]["steps"]} == {LONG["max_steps"]}
    assert job["trained_tokens"] == answer.json()["data"][0]["points"][-1]["last"]


def test_the_checkpoint_on_disk_is_the_one_that_is_listed(stack, undisturbed):
    with stack.http() as http:
        saved = http.get(f"/v1/fine_tuning/jobs/{undisturbed}/checkpoints").json()["data"]
    last = LONG["max_steps"]
    assert saved[0]["step_number"] == last
    folder = stack.run_dir(undisturbed, 1) / "checkpoints" / f"step-{last:06}" / "adapter"
    content = (folder / "adapter_model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == saved[0]["sha256"]
