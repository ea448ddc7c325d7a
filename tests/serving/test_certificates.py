"""A ready deployment keeps matching its certificate, or it fails."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from models import BaseModelRecord, Checkpoint, Job
from models.deployments import DeploymentStatus
from orpo.contract import manifest
from services.platform.database import transaction
from services.serving import deployments
from tests.serving import fake_vllm
from tests.serving.conftest import CALLER, client_of, gone_within
from workers import deployments as worker
from workers import parity
from workers.engine_client import DownError, EngineClient

READY, FAILED = DeploymentStatus.READY, DeploymentStatus.FAILED


def look_again(serving, deployment_id: str):
    """Run one step of the worker; return the deployment after it."""
    worker.step()
    return serving.deployment(deployment_id)


def test_an_adapter_that_was_replaced_under_its_name_is_noticed(serving):
    base = serving.base()
    of_base, of_tuned = serving.deploy(base, serving.tuned(base))
    serving.settle(of_base, of_tuned)
    (engine,) = serving.live()
    assert look_again(serving, of_tuned).status == READY
    other = serving.folder / "other"
    other.mkdir()
    (other / "adapter_model.safetensors").write_text("-3.0")
    client_of(engine).unload_adapter(of_tuned)
    client_of(engine).load_adapter(of_tuned, other)
    failed = look_again(serving, of_tuned)
    assert (failed.status, failed.error["code"]) == (FAILED, "parity")
    assert str(other) in failed.error["message"]
    # The engine is not used any more; its other deployments get a new one.
    assert gone_within(engine.pid, 0)
    (again,) = serving.settle(of_base)
    assert again.status == READY
    assert [live.id for live in serving.live()] != [engine.id]


def test_what_is_served_is_compared_with_its_certificate_at_intervals(serving, settings_from):
    base = serving.base()
    (of_tuned,) = serving.deploy(serving.tuned(base))
    serving.settle(of_tuned)
    assert look_again(serving, of_tuned).status == READY
    # As if the engine's memory had changed; its list of models has not.
    (weights,) = serving.folder.glob("runs/*/g1/checkpoints/*/adapter/adapter_model.safetensors")
    weights.write_text("-3.0")
    assert look_again(serving, of_tuned).status == READY
    settings_from(engine_check_s=0.001)
    failed = look_again(serving, of_tuned)
    assert (failed.status, failed.error["code"]) == (FAILED, "parity")
    assert "differ from the trainer's by up to 2.500" in failed.error["message"]
    assert failed.parity["max_logprob_diff"] == 2.5
    assert not serving.live()


def test_a_list_of_models_that_changed_is_reason_to_look(serving):
    base = serving.base()
    of_base, of_tuned = serving.deploy(base, serving.tuned(base))
    serving.settle(of_base, of_tuned)
    assert look_again(serving, of_tuned).status == READY
    (engine,) = serving.live()
    (weights,) = serving.folder.glob("runs/*/g1/checkpoints/*/adapter/adapter_model.safetensors")
    weights.write_text("-3.0")
    client_of(engine).load_adapter("a-name-of-no-deployment", weights.parent)
    assert look_again(serving, of_tuned).status == FAILED


def test_a_check_that_the_engine_can_not_answer_now_is_made_later(serving, monkeypatch):
    (of_base,) = serving.deploy(serving.base())
    serving.settle(of_base)

    def time_out(*_):
        raise DownError("timed out")

    with monkeypatch.context() as patched:
        patched.setattr(EngineClient, "logprobs", time_out)
        assert look_again(serving, of_base).status == READY
    assert look_again(serving, of_base).status == READY


@pytest.mark.parametrize("shards", [["model.safetensors"], ["a.safetensors", "b.safetensors"]])
def test_weights_that_changed_since_they_were_registered_are_not_served(serving, shards):
    base = serving.base()
    folder = serving.folder / base
    for name in shards:
        (folder / name).write_text(name)
    if len(shards) > 1:
        index = {"weight_map": dict(enumerate(shards))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    digests = {name: {"sha256": manifest.sha256(folder / name)} for name in shards}
    with transaction() as session:
        record = session.get_one(BaseModelRecord, base)
        record.info = record.info | {"sha256": manifest.weights_digest(digests, "")}
    (deployment,) = serving.settle(*serving.deploy(base))
    assert deployment.status == READY, serving.describe()
    (folder / shards[-1]).write_text("changed")
    # All later deployments on this base are checked, adapters too.
    of_base, of_tuned = serving.settle(deployment.id, *serving.deploy(serving.tuned(base)))
    for failed in (of_base, of_tuned):
        assert failed.status == FAILED
        assert "have changed since it was registered" in failed.error["message"]


def test_the_special_strings_of_an_older_base_are_noted(serving):
    base = serving.base()
    with transaction() as session:
        session.get_one(BaseModelRecord, base).info = {"sha256": None}
    serving.settle(*serving.deploy(base))
    with transaction() as session:
        assert session.get_one(BaseModelRecord, base).info["special_tokens"] == ["<|im_end|>"]
        assert deployments.route(session, CALLER, base).special_strings == ("<|im_end|>",)


@pytest.mark.parametrize(
    ("rule", "hostile", "status"),
    [
        ("escape", {"is_plain": True, "prompt_token_ids": fake_vllm.TOKENS}, READY),
        ("escape", {"is_plain": True, "prompt_token_ids": [9]}, FAILED),
        ("escape", {"is_plain": False, "prompt_token_ids": fake_vllm.TOKENS}, FAILED),
        ("escape", None, FAILED),
        ("refuse", None, READY),
    ],
)
def test_a_certificate_says_how_special_strings_are_taken(serving, rule, hostile, status):
    base = serving.base()
    tuned = serving.tuned(base, hostile=hostile and {"messages": [], **hostile})
    with transaction() as session:
        checkpoint = session.scalars(select(Checkpoint)).one()
        job = session.get_one(Job, checkpoint.job_id)
        job.method = job.method | {"special_tokens": rule}
    (deployment,) = serving.settle(*serving.deploy(tuned))
    assert deployment.status == status, serving.describe()
    assert deployment.parity["special_tokens"] == rule
    if status == READY:
        assert deployment.parity["escaped_ids_equal"] is (True if hostile else None)
        with transaction() as session:
            assert deployments.route(session, CALLER, tuned).rule == rule


YESTERDAY = "2031-05-06T07:08:09+02:00"
OF_TODAY = [1, 2, 4]


@pytest.mark.parametrize(
    ("today", "as_recorded", "status"),
    [(OF_TODAY, True, READY), ([9], True, FAILED), (OF_TODAY, False, FAILED)],
)
def test_a_template_that_prints_the_date_is_compared_at_the_engine_s_time(
    serving, monkeypatch, today, as_recorded, status
):
    """The engine renders today's date, and the probe holds yesterday's tokens."""
    base = serving.base(tokens=OF_TODAY)
    hostile = {"messages": [], "is_plain": True, "prompt_token_ids": fake_vllm.TOKENS}
    tuned = serving.tuned(base, rendered_at=YESTERDAY, hostile=hostile)
    asked = []

    def run_verb(verb, *arguments, **options):
        if verb != "rendered":
            return run(verb, *arguments, **options)
        asked.append(arguments)
        return {"as_recorded": as_recorded, "at": [[[9], [9]], [today, today]]}

    run = parity.run_verb
    monkeypatch.setattr(parity, "run_verb", run_verb)
    (deployment,) = serving.settle(*serving.deploy(tuned))
    assert deployment.status == status, serving.describe()
    assert deployment.parity["token_ids_equal"] is (status == READY)
    assert deployment.parity["escaped_ids_equal"] is (status == READY)
    ((folder, probe, before, after),) = asked
    assert (Path(folder).name, Path(probe).name) == ("adapter", "probe.json")
    assert YESTERDAY != before < after
    if status == READY:
        assert look_again(serving, deployment.id).status == READY
        assert len(asked) == 2


def test_a_template_that_prints_no_date_has_the_recorded_tokens_at_any_time(serving, monkeypatch):
    monkeypatch.setattr(parity, "_rendered_at", None)
    tuned = serving.tuned(serving.base(tokens=OF_TODAY))
    (deployment,) = serving.settle(*serving.deploy(tuned))
    assert (deployment.status, deployment.error["code"]) == (FAILED, "parity")
    assert "renders the prompt to other tokens" in deployment.error["message"]
